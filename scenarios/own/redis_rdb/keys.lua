-- A piece of all keys: the cursor of the next one, then `key type digest` of each. Members stand in an order of their own.
local found = redis.call('scan', ARGV[1], 'count', 500)
local out = { found[1] }
for _, key in ipairs(found[2]) do
    local kind, all = redis.call('type', key).ok
    if kind == 'string' then all = { redis.call('get', key) }
    elseif kind == 'list' then all = redis.call('lrange', key, 0, -1)
    elseif kind == 'zset' then all = redis.call('zrange', key, 0, -1, 'withscores')
    elseif kind == 'set' then all = redis.call('smembers', key); table.sort(all)
    elseif kind == 'hash' then
        all = redis.call('hkeys', key); table.sort(all)
        for i, field in ipairs(all) do all[i] = field .. '\0' .. redis.call('hget', key, field) end
    else all = { redis.call('dump', key) } end
    for i, one in ipairs(all) do all[i] = #one .. ':' .. one end
    if key ~= 'gameday:canary' then out[#out + 1] = key .. ' ' .. kind .. ' ' .. redis.sha1hex(table.concat(all)) end
end
return out
