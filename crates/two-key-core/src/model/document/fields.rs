//! Fields of raw documents: values that know their place, and words that keep why they are not valid, so that
//! one reading reports every problem.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeSet, fmt, marker::PhantomData, ops::RangeInclusive};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_yaml::Spanned;

use super::{DocumentError, Labels, Problem, strict};
use crate::model::{Digest, FORMAT_LEVEL, Oid, PublicKey, Reason};

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct Position {
    line: u32,
    column: u32,
}

impl Position {
    fn of(location: serde_yaml::Location) -> Self {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self { line: number(location.line()), column: number(location.column()) }
    }
}

/// A value and its place.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct At<T> {
    pub(in crate::model) value: T,
    pub(in crate::model) place: Position,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, place: Position::of(spanned.referenced) })
    }
}

/// The schema of a wrapper is that of what it wraps.
macro_rules! schema_of_inner {
    ($name:ident) => {
        impl<T: JsonSchema> JsonSchema for $name<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }

            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    };
}

schema_of_inner!(At);
schema_of_inner!(Parsed);

/// A text read as a `T`, or why it is none.
#[derive(Debug, Clone)]
pub(in crate::model) struct Parsed<T>(Result<T, String>);

impl<T: TryFrom<String, Error: fmt::Display>> Parsed<T> {
    /// Reads a text.
    pub(in crate::model) fn of(text: &str) -> Self {
        Self(T::try_from(text.to_owned()).map_err(|error| error.to_string()))
    }
}

impl<'de, T: TryFrom<String, Error: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(T::try_from(text).map_err(|error| error.to_string())))
    }
}

/// A word with its place.
pub(in crate::model) type Word<T> = At<Parsed<T>>;

/// A mapping's entries in the file's order, each key with its place.
#[derive(Debug, Clone)]
pub(in crate::model) struct Entries<K, V>(pub(in crate::model) Vec<(Word<K>, V)>);

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K: TryFrom<String, Error: fmt::Display>, V: Deserialize<'de>> Deserialize<'de> for Entries<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<K, V>(PhantomData<(K, V)>);

        impl<'de, K: TryFrom<String, Error: fmt::Display>, V: Deserialize<'de>> Visitor<'de> for Collect<K, V> {
            type Value = Entries<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Collect(PhantomData))
    }
}

impl<K: JsonSchema, V: JsonSchema> JsonSchema for Entries<K, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}By{}", V::schema_name(), K::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (key, value) = (generator.subschema_for::<K>(), generator.subschema_for::<V>());
        json_schema!({"type": "object", "propertyNames": key, "additionalProperties": value})
    }
}

/// A whole number, written in digits and not as text.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct Whole(pub(in crate::model) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, not below zero, without quotes")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Whole, E> {
                let unexpected = serde::de::Unexpected::Signed(number);
                u64::try_from(number).map(Whole).map_err(|_| E::invalid_value(unexpected, &self))
            }
        }

        deserializer.deserialize_any(Digits)
    }
}

impl JsonSchema for Whole {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 0})
    }
}

/// `true` or `false`, without quotes.
#[derive(Debug, Clone, Copy, Default, JsonSchema)]
#[schemars(inline)]
pub(in crate::model) struct Flag(pub(in crate::model) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;

        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false, without quotes")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }
        }

        deserializer.deserialize_any(FlagVisitor)
    }
}

/// One line of text that is not empty.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(inline)]
pub(in crate::model) struct Line(#[schemars(length(min = 1, max = 1024))] pub(in crate::model) String);

impl TryFrom<String> for Line {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.chars().count() {
            _ if text.contains('\n') || text.trim() != text => Err("this is one line, without blanks at its ends"),
            1..=1024 => Ok(Self(text)),
            _ => Err("this has 1 to 1024 characters"),
        }
    }
}

/// A moment: UTC, whole seconds, `2025-10-27T02:19:13Z`.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct Moment(pub(in crate::model) Timestamp);

impl TryFrom<String> for Moment {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let moment = text.parse::<Timestamp>().ok().filter(|moment| text.len() == 20 && moment.to_string() == text);
        moment.map(Self).ok_or("a time is written in UTC, in whole seconds, as in `2025-10-27T02:19:13Z`")
    }
}

/// Schemas of texts, by their patterns.
macro_rules! text_schema {
    ($($name:ident: $schema:tt,)*) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

text_schema! {
    Moment: {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"},
    Digest: {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
    Oid: {"type": "string", "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$"},
    PublicKey: {"type": "string", "pattern": "^(ssh-ed25519|ecdsa-sha2-nistp256|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\\.com|minisign) "},
}

/// What may be null but never missing; for serde, beside `deserialize_with = "Nullable::present"`.
#[derive(Debug, Clone)]
pub(in crate::model) struct Nullable<T>(pub(in crate::model) Option<T>);

impl<T> Nullable<T> {
    /// Without `deserialize_with`, serde takes a missing field for null.
    pub(in crate::model) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>
    where
        T: Deserialize<'de>,
    {
        Option::deserialize(deserializer).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Nullable{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let inner = generator.subschema_for::<T>();
        json_schema!({"anyOf": [inner, {"type": "null"}]})
    }
}

/// Problems that are told of one document. There is room for thousands in one, and the ledger keeps what it is told.
const MAX_PROBLEMS: usize = 100;

/// The problems found so far.
#[derive(Debug, Default)]
pub(in crate::model) struct Problems(Vec<(Reason, Problem)>);

impl Problems {
    /// Notes that something is not in the form that documents have.
    pub(in crate::model) fn malformed(&mut self, place: Position, message: impl Into<String>) {
        self.add(Reason::Malformed, place, message);
    }

    /// Notes a problem.
    pub(in crate::model) fn add(&mut self, reason: Reason, place: Position, message: impl Into<String>) {
        if self.0.len() == MAX_PROBLEMS {
            return;
        }
        self.0.push((reason, Problem { line: place.line, column: place.column, message: message.into() }));
    }

    /// A word's value, or nothing and a problem.
    pub(in crate::model) fn word<T>(&mut self, word: Word<T>) -> Option<T> {
        word.value.0.map_err(|message| self.malformed(word.place, message)).ok()
    }

    /// The value of a word that need not be there.
    pub(in crate::model) fn maybe<T>(&mut self, word: Option<Word<T>>) -> Option<T> {
        self.word(word?)
    }

    /// Each word's value; those that have none are noted.
    pub(in crate::model) fn words<T>(&mut self, words: Vec<Word<T>>) -> Vec<T> {
        words.into_iter().filter_map(|word| self.word(word)).collect()
    }

    /// A number within bounds, or nothing and a problem.
    pub(in crate::model) fn within<N: TryFrom<u64>>(
        &mut self,
        what: &str,
        number: &At<Whole>,
        bounds: RangeInclusive<u64>,
    ) -> Option<N> {
        if bounds.contains(&number.value.0) {
            return N::try_from(number.value.0).ok();
        }
        let message = format!("{what} is {}; it must be {} to {}", number.value.0, bounds.start(), bounds.end());
        self.malformed(number.place, message);
        None
    }

    /// The names of a mapping in their one order, each refused if another differs from it only in case.
    pub(in crate::model) fn unique<K, V>(
        &mut self,
        entries: Entries<K, V>,
        folded: impl Fn(&K) -> String,
    ) -> Vec<(Position, K, V)> {
        let mut seen = BTreeSet::new();
        let mut unique = Vec::new();
        for (word, value) in entries.0 {
            let place = word.place;
            let Some(key) = self.word(word) else { continue };
            if !seen.insert(folded(&key)) {
                self.malformed(place, "this name stands here twice, but for upper and lower case");
            }
            unique.push((place, key, value));
        }
        unique
    }

    /// The value, if there is one and there was no problem.
    pub(in crate::model) fn finish<T>(self, value: Option<T>) -> Result<T, DocumentError> {
        let order = [Reason::Malformed, Reason::SameKey, Reason::PolicyFloor];
        let reason = order.into_iter().find(|reason| self.0.iter().any(|(other, _)| other == reason));
        match (value, reason) {
            (Some(value), None) => Ok(value),
            (None, None) => Err(DocumentError::one(Reason::Malformed, 0, 0, "the document is not complete")),
            (_, Some(reason)) => {
                let mut problems: Vec<_> = self.0.into_iter().map(|(_, problem)| problem).collect();
                problems.sort_by_key(|problem| (problem.line, problem.column));
                Err(DocumentError { reason, problems })
            }
        }
    }
}

/// Names that a later level may give a meaning to.
const RESERVED: [&str; 4] = ["kind", "waves", "witness", "delay"];

/// The same as an error where it is one: a name that is unknown here, and kept for later.
fn reserved(message: &str) -> Option<String> {
    let name = message.strip_prefix("unknown field `")?.split('`').next()?;
    RESERVED.contains(&name).then(|| format!("`{name}` is reserved: a later format level may use it"))
}

/// The same as an error where a value has another shape: which key's it is, and the shape that it must have.
fn shape(message: &str, text: &str, place: Position) -> Option<String> {
    let (what, example) = match message {
        "expected mapping start" => ("a mapping", "{name: value, …}"),
        "expected sequence start" => ("a list", "[value, …]"),
        _ => return None,
    };
    let key = || {
        let line = text.lines().nth(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
        let before = line.get(..usize::try_from(place.column).ok()?.checked_sub(1)?)?;
        before.trim_end().strip_suffix(':')?.rsplit([' ', '{', ',', '[']).next()
    };
    Some(match key() {
        Some(key) => format!("`{key}` must be {what}, as in `{key}: {example}`"),
        None => format!("{what} is expected here, as in `{example}`"),
    })
}

/// What both documents begin with, whatever the level.
#[derive(Deserialize)]
struct DocumentHead {
    #[serde(rename = "two-key")]
    level: Option<At<Whole>>,
}

/// A raw document, which says what format level it has.
pub(in crate::model) trait Leveled: DeserializeOwned {
    /// How many values it may have: keys, texts, lists and mappings.
    const MAX_VALUES: usize;

    /// The level, and where it stands.
    fn level(&self) -> &At<Whole>;
}

/// Reads strict YAML into a raw document of this program's format level.
pub(in crate::model) fn parse<T: Leveled>(bytes: &[u8]) -> Result<T, DocumentError> {
    let text = strict::text(bytes, T::MAX_VALUES)?;
    match from_yaml::<T>(text) {
        Ok(document) => of_this_level(document.level()).map(|()| document),
        // A document of another level is told so, whatever else this program does not understand of it.
        Err(error) => match from_yaml::<DocumentHead>(text)?.level {
            Some(level) => of_this_level(&level).and(Err(error)),
            None => Err(malformed(Position { line: 1, column: 1 }, "`two-key: 1` is missing".to_owned())),
        },
    }
}

/// Refuses a document of another format level.
fn of_this_level(level: &At<Whole>) -> Result<(), DocumentError> {
    let At { value: Whole(number), place } = *level;
    match number.cmp(&u64::from(FORMAT_LEVEL)) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(malformed(place, format!("there is no format level {number}"))),
        Ordering::Greater => {
            let message = format!(
                "this file has format level {number}, and this program reads level {FORMAT_LEVEL}; a newer program is needed"
            );
            Err(malformed(place, message))
        }
    }
}

fn malformed(place: Position, message: String) -> DocumentError {
    DocumentError::one(Reason::Malformed, place.line, place.column, message)
}

/// The library's part, with all that it can expand or guess switched off. [`strict::text`] comes first; this is the
/// second lock on the same door.
fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_merge_keys: 0,
            max_documents: 1,
            max_depth: 16,
            max_nodes: 40_000,
        },
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::Error,
        merge_keys: serde_yaml::options::MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        reject_tagged_field_names: true,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map_or(Position { line: 0, column: 0 }, Position::of);
        let message = error.without_snippet().to_string();
        // The place is said once, by the problem.
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
        let message = reserved(message).or_else(|| shape(message, text, place)).unwrap_or_else(|| message.to_owned());
        DocumentError::one(Reason::Malformed, place.line, place.column, message)
    })
}

/// Free text by name.
pub(in crate::model) fn labels(problems: &mut Problems, raw: Option<Entries<Line, String>>) -> Labels {
    problems
        .unique(raw.unwrap_or_default(), |Line(name)| name.clone())
        .into_iter()
        .map(|(_, Line(name), text)| (name, text))
        .collect()
}
