# What the scripts beside it share: the scratch server as rclone's remote `scratch:`, without a file that would hold its keys.
export RCLONE_CONFIG=/dev/null RCLONE_CONFIG_SCRATCH_TYPE=s3 RCLONE_CONFIG_SCRATCH_PROVIDER=Other
export RCLONE_CONFIG_SCRATCH_ENDPOINT="$SCRATCH_URL" RCLONE_CONFIG_SCRATCH_ACCESS_KEY_ID="$SCRATCH_KEY"
export RCLONE_CONFIG_SCRATCH_SECRET_ACCESS_KEY="$SCRATCH_SECRET"
