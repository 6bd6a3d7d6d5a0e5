//! What may stand where: the JSON Schema of a file, which is generated from the types that read it. So whatever is said
//! about a file is said in its own words, and a new key needs no new sentence.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// The schema of a type.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value()
}

/// What may stand at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'a> {
    root: &'a Value,
    /// As the key describes it.
    said: &'a Value,
    /// What it refers to.
    is: &'a Value,
    /// The name of what it refers to.
    name: &'a str,
}

/// Kinds of what may stand at a place.
#[derive(Clone, Debug)]
pub(super) enum Kind<'a> {
    Table,
    List(Shape<'a>),
    /// One of these words.
    Words(Vec<&'a str>),
    /// A table with one of these keys.
    OneOf(Vec<(&'a str, Shape<'a>)>),
    Duration,
    Rate,
    Text,
    Whole {
        low: i128,
        high: i128,
    },
    Number,
    Flag,
    /// Nothing is known of it.
    Any,
}

impl<'a> Shape<'a> {
    pub(super) fn new(root: &'a Value) -> Shape<'a> {
        Shape { root, said: root, is: root, name: "" }
    }

    fn at(self, said: &'a Value) -> Shape<'a> {
        let (mut is, mut name) = (said, "");
        // A reference leads to one that leads to no further one; the bound is for schemas that are not ours.
        for _ in 0..8 {
            if let Some(to) = is["$ref"].as_str() {
                name = to.rsplit('/').next().unwrap_or_default();
                is = &self.root["definitions"][name];
            } else if let Some(one) = is["allOf"].get(0) {
                is = one;
            } else if let Some(one) =
                is["anyOf"].as_array().and_then(|all| all.iter().find(|s| s["type"] != "null"))
            {
                is = one;
            } else {
                break;
            }
        }
        Shape { root: self.root, said, is, name }
    }

    pub(super) fn kind(self) -> Kind<'a> {
        let words = words(self.is);
        if !words.is_empty() {
            return Kind::Words(words);
        }
        if let Some(all) = self.is["oneOf"].as_array() {
            let one = |s: &'a Value| s["properties"].as_object()?.iter().next();
            return Kind::OneOf(all.iter().filter_map(one).map(|(k, v)| (k.as_str(), self.at(v))).collect());
        }
        match (self.name, type_of(self.is)) {
            ("Duration", _) => Kind::Duration,
            ("Rate", _) => Kind::Rate,
            (_, "object") => Kind::Table,
            (_, "array") => Kind::List(self.at(&self.is["items"])),
            (_, "string") => Kind::Text,
            (_, "integer") => self.whole(),
            (_, "number") => Kind::Number,
            (_, "boolean") => Kind::Flag,
            _ => Kind::Any,
        }
    }

    fn whole(self) -> Kind<'a> {
        let high = match self.is["format"].as_str() {
            Some("uint8") => u8::MAX.into(),
            Some("uint16") => u16::MAX.into(),
            Some("uint32") => u32::MAX.into(),
            _ => i64::MAX.into(),
        };
        Kind::Whole { low: self.is["minimum"].as_i64().unwrap_or(i64::MIN).into(), high }
    }

    fn properties(self) -> Option<&'a Map<String, Value>> {
        self.is["properties"].as_object()
    }

    /// The keys of a table, in the order in which they are described; none if it has names of the user's.
    pub(super) fn keys(self) -> Vec<&'a str> {
        self.properties().map(|p| p.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// What stands at a key of a table.
    pub(super) fn key(self, key: &str) -> Option<Shape<'a>> {
        let named = self.properties().and_then(|p| p.get(key));
        let any = Some(&self.is["additionalProperties"]).filter(|v| v.is_object());
        named.or(any).map(|v| self.at(v))
    }

    /// The keys of a file that are lists of sections.
    pub(super) fn lists(self) -> Vec<&'a str> {
        let list = |k: &&str| {
            self.key(k)
                .is_some_and(|s| matches!(s.kind(), Kind::List(of) if matches!(of.kind(), Kind::Table)))
        };
        self.keys().into_iter().filter(list).collect()
    }

    /// How many elements a list has, if that is not open.
    pub(super) fn count(self) -> Option<usize> {
        self.is["minItems"].as_u64().and_then(|n| usize::try_from(n).ok())
    }

    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        self.is["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// What stands here if nothing is written.
    pub(super) fn usual(self) -> Option<&'a str> {
        self.said["default"].as_str()
    }

    /// Something that may stand here: the example that its type gives, or else the least.
    pub(super) fn sample(self) -> Value {
        let given = self.said["examples"].get(0).or(self.is["examples"].get(0));
        let usual = Some(&self.said["default"]).filter(|d| d.is_string() || d.is_number());
        if let Some(given) = given.or(usual) {
            return given.clone();
        }
        match self.kind() {
            Kind::Table => {
                self.required().filter_map(|k| Some((k.to_owned(), self.key(k)?.sample()))).collect()
            }
            Kind::List(of) => vec![of.sample(); self.count().unwrap_or(1)].into(),
            Kind::Words(words) => words.first().copied().unwrap_or_default().into(),
            Kind::OneOf(all) => all.first().map(|(k, v)| tagged(k, v.sample())).unwrap_or_default(),
            Kind::Duration => "5s".into(),
            Kind::Rate => "20/s".into(),
            Kind::Text | Kind::Any => "..".into(),
            Kind::Whole { low, .. } => i64::try_from(low.max(1)).unwrap_or(1).into(),
            Kind::Number => 0.9.into(),
            Kind::Flag => true.into(),
        }
    }
}

/// A table with one key.
pub(super) fn tagged(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

fn words(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let own = schema["const"].as_str().into_iter().chain(listed);
    own.chain(schema["oneOf"].as_array().into_iter().flatten().flat_map(words)).collect()
}

fn type_of(schema: &Value) -> &str {
    let several = schema["type"].as_array().and_then(|all| all.iter().find(|t| *t != "null"));
    several.unwrap_or(&schema["type"]).as_str().unwrap_or_default()
}

/// A value as it stands in a TOML file, on one line.
pub(super) fn toml(value: &Value) -> String {
    match value {
        Value::Object(t) if t.is_empty() => "{}".into(),
        Value::Object(t) => {
            let entries: Vec<String> = t.iter().map(|(k, v)| format!("{k} = {}", toml(v))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(a) => format!("[{}]", a.iter().map(toml).collect::<Vec<_>>().join(", ")),
        single => single.to_string(),
    }
}

/// A key of the file's top with its value, as people write it: a section, the first of several, or one line.
pub(super) fn section(key: &str, value: &Value) -> String {
    let (head, body) = match value {
        Value::Object(t) => (format!("[{key}]"), t),
        Value::Array(a) => match a.first() {
            Some(Value::Object(t)) => (format!("[[{key}]]"), t),
            _ => return format!("{key} = {}", toml(value)),
        },
        single => return format!("{key} = {}", toml(single)),
    };
    let lines = body.iter().map(|(k, v)| format!("\n{k} = {}", toml(v)));
    head + &lines.collect::<String>()
}
