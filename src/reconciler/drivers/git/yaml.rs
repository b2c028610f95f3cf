//! Values in a YAML file, found by a path and replaced where they stand: comments, order and every other byte stay. Pure.
//!
//! A path is keys with dots between them; `[2]` is the third of a list, `[name=checkout]` is the one with that value. It
//! begins at a document; `[kind=HTTPRoute].spec` begins at the document with that value. It must lead to exactly one
//! value.

use std::{fmt, ops::Range};

use granit_parser::{Event, Parser};
use serde::Deserialize;

/// How deep a file may nest.
const MAX_DEPTH: usize = 64;

/// A path to a value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct YamlPath {
    text: String,
    steps: Vec<PathStep>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PathStep {
    Key(String),
    Index(usize),
    Where(String, String),
}

impl fmt::Display for YamlPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl YamlPath {
    /// The name by which the last `[name=…]` in it picks one of a list.
    pub(super) fn named(&self) -> Option<String> {
        self.steps.iter().rev().find_map(|step| match step {
            PathStep::Where(key, value) if key == "name" => Some(value.clone()),
            _ => None,
        })
    }
}

impl TryFrom<String> for YamlPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no path: keys with dots between them, [2], [name=value]");
        let mut steps = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (inner, after) = inner.split_once(']').ok_or_else(wrong)?;
                steps.push(match inner.split_once('=') {
                    Some((key, value)) if !key.is_empty() => PathStep::Where(key.to_owned(), value.to_owned()),
                    Some(_) => return Err(wrong()),
                    None => PathStep::Index(inner.parse().map_err(|_| wrong())?),
                });
                rest = after.strip_prefix('.').unwrap_or(after);
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, after) = rest.split_at(end);
                if key.is_empty() {
                    return Err(wrong());
                }
                steps.push(PathStep::Key(key.to_owned()));
                rest = after.strip_prefix('.').unwrap_or(after);
            }
        }
        if steps.is_empty() { Err(wrong()) } else { Ok(Self { text, steps }) }
    }
}

/// A node, as far as paths care.
#[derive(Clone)]
enum YamlNode {
    Scalar(String, Range<usize>),
    List(Vec<YamlNode>),
    Map(Vec<(String, YamlNode)>),
    /// An alias: leads nowhere.
    Other,
}

/// The value that a path leads to, and where it stands.
pub(super) fn find(text: &str, path: &YamlPath) -> Result<(String, Range<usize>), String> {
    let documents = parse(text)?;
    let mut found: Vec<&YamlNode> = documents.iter().collect();
    for step in &path.steps {
        found = found.into_iter().flat_map(|node| follow(node, step)).collect();
    }
    match found.as_slice() {
        [YamlNode::Scalar(value, place)] => Ok((value.clone(), place.clone())),
        [] => Err(format!("nothing is at {path}")),
        [_] => Err(format!("what is at {path} is no plain value")),
        several => Err(format!("{path} leads to {} values", several.len())),
    }
}

fn follow<'a>(node: &'a YamlNode, step: &PathStep) -> Vec<&'a YamlNode> {
    match (node, step) {
        (YamlNode::Map(entries), PathStep::Key(key)) => {
            entries.iter().filter(|(name, _)| name == key).map(|(_, node)| node).collect()
        }
        (YamlNode::List(items), PathStep::Index(index)) => items.get(*index).into_iter().collect(),
        (YamlNode::List(items), PathStep::Where(key, value)) => {
            items.iter().filter(|item| has(item, key, value)).collect()
        }
        // A document by itself.
        (YamlNode::Map(_), PathStep::Where(key, value)) if has(node, key, value) => vec![node],
        _ => Vec::new(),
    }
}

fn has(node: &YamlNode, key: &str, value: &str) -> bool {
    let YamlNode::Map(entries) = node else { return false };
    entries.iter().any(|(name, node)| name == key && matches!(node, YamlNode::Scalar(text, _) if text == value))
}

/// The number that a path leads to.
pub(super) fn number(text: &str, path: &YamlPath) -> Result<u32, String> {
    let (value, _) = find(text, path)?;
    value.parse().map_err(|_| format!("what is at {path} is no number: {value}"))
}

/// The text with other numbers at some paths, and nothing else changed. Checked by reading it again.
pub(super) fn patch(text: &str, numbers: &[(&YamlPath, u32)]) -> Result<String, String> {
    let mut places = Vec::new();
    for (path, number) in numbers {
        self::number(text, path)?;
        places.push((find(text, path)?.1, *number));
    }
    // From the end, so that what is replaced moves nothing that is still to come.
    places.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    let mut patched = text.to_owned();
    for (place, number) in places {
        let old = text.get(place.clone()).ok_or("a value stands nowhere")?;
        let quote =
            old.chars().next().filter(|first| matches!(first, '"' | '\'')).map(String::from).unwrap_or_default();
        patched.replace_range(place, &format!("{quote}{number}{quote}"));
    }
    match numbers.iter().find(|(path, number)| self::number(&patched, path).as_ref() != Ok(number)) {
        None => Ok(patched),
        Some((path, _)) => Err(format!("what is at {path} cannot be replaced where it stands")),
    }
}

/// Whether what stands around a value is the same in two files, comments and places aside: what the weight is a weight of, and
/// what else shares with it.
pub(super) fn is_same_around(text: &str, other: &str, path: &YamlPath) -> bool {
    let around = |text: &str| {
        let documents = parse(text).ok()?;
        let steps = path.steps.len().saturating_sub(2);
        let mut found: Vec<YamlNode> = documents;
        for step in path.steps.iter().take(steps) {
            found = found.iter().flat_map(|node| follow(node, step)).cloned().collect();
        }
        Some(found.iter().map(YamlNode::plain).collect::<Vec<_>>())
    };
    around(text).is_some_and(|found| Some(found) == around(other))
}

/// Words by which manifests keep people with the backend that they had.
const PERSISTENT: [&str; 6] =
    ["sessionPersistence", "sticky", "consistentHash", "sessionAffinity", "stickiness", "affinity"];

/// The key by which a manifest keeps people with a backend, if one does: of Gateway API, Traefik, Istio, Kubernetes, and of
/// the annotations of controllers. A file that is not YAML has none.
pub(super) fn persistence(text: &str) -> Option<String> {
    parse(text).ok()?.iter().find_map(YamlNode::persistent_key)
}

impl YamlNode {
    /// What it says, without where.
    fn plain(&self) -> String {
        match self {
            Self::Scalar(value, _) => format!("{value:?}"),
            Self::List(items) => format!("[{}]", items.iter().map(Self::plain).collect::<Vec<_>>().join(",")),
            Self::Map(entries) => {
                let mut entries: Vec<_> =
                    entries.iter().map(|(key, node)| format!("{key:?}:{}", node.plain())).collect();
                entries.sort();
                format!("{{{}}}", entries.join(","))
            }
            Self::Other => "*".to_owned(),
        }
    }

    fn persistent_key(&self) -> Option<String> {
        match self {
            Self::List(items) => items.iter().find_map(Self::persistent_key),
            Self::Map(entries) => entries.iter().find_map(|(key, node)| {
                let is_off = match node {
                    Self::Scalar(value, _) => {
                        ["", "~", "null", "false", "none"].contains(&value.to_lowercase().as_str())
                    }
                    // Where pods are put is said by the same word.
                    Self::Map(_) => key == "affinity",
                    Self::List(_) | Self::Other => false,
                };
                let word = |word: &str| {
                    key == word || key.rsplit('/').next().is_some_and(|last| last != key && last.contains(word))
                };
                if !is_off && PERSISTENT.iter().any(|one| word(one)) {
                    return Some(key.clone());
                }
                node.persistent_key()
            }),
            Self::Scalar(..) | Self::Other => None,
        }
    }
}

fn parse(text: &str) -> Result<Vec<YamlNode>, String> {
    let mut open: Vec<OpenCollection> = vec![OpenCollection::List(Vec::new())];
    for event in Parser::new_from_str(text) {
        let (event, place) = event.map_err(|error| format!("it is not YAML: {}", error.info()))?;
        match event {
            Event::Scalar(value, ..) => {
                let range = place.byte_range().ok_or("a value stands nowhere")?;
                add(&mut open, YamlNode::Scalar(value.into_owned(), range))?;
            }
            Event::SequenceStart(..) => open.push(OpenCollection::List(Vec::new())),
            Event::MappingStart(..) => open.push(OpenCollection::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let node = open.pop().map_or(YamlNode::Other, OpenCollection::close);
                add(&mut open, node)?;
            }
            Event::Alias(..) => add(&mut open, YamlNode::Other)?,
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            return Err(format!("it nests deeper than {MAX_DEPTH}"));
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(OpenCollection::List(documents)), true) => Ok(documents),
        _ => Err("it ends in the middle".to_owned()),
    }
}

/// A collection that is being read.
enum OpenCollection {
    List(Vec<YamlNode>),
    /// The entries so far, and the key whose value comes next.
    Map(Vec<(String, YamlNode)>, Option<String>),
}

impl OpenCollection {
    fn close(self) -> YamlNode {
        match self {
            Self::List(items) => YamlNode::List(items),
            Self::Map(entries, _) => YamlNode::Map(entries),
        }
    }
}

fn add(open: &mut [OpenCollection], node: YamlNode) -> Result<(), String> {
    match open.last_mut() {
        Some(OpenCollection::List(items)) => items.push(node),
        Some(OpenCollection::Map(entries, key)) => match (key.take(), node) {
            (Some(name), node) => entries.push((name, node)),
            (None, YamlNode::Scalar(name, _)) => *key = Some(name),
            // A key that is no word can be on no path.
            (None, _) => *key = Some(String::new()),
        },
        None => return Err("it ends too often".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "# The shop.\napiVersion: v1\nkind: Service\n---\n# Weights are moved by git two-key.\nkind: HTTPRoute\nspec:\n  \
                         rules:\n    - backendRefs: # both\n        - {name: shop-a, port: 80, weight: 100}   # old\n        \
                         - name: shop-b\n          weight:   \"0\"   # new: zero\n          port: 80\n";

    fn path(text: &str) -> YamlPath {
        YamlPath::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn only_the_numbers_change() {
        let stable = path("spec.rules[0].backendRefs[name=shop-a].weight");
        let candidate = path("[kind=HTTPRoute].spec.rules[0].backendRefs[name=shop-b].weight");
        assert_eq!((number(ROUTE, &stable), number(ROUTE, &candidate)), (Ok(100), Ok(0)));
        let patched = patch(ROUTE, &[(&stable, 95), (&candidate, 5)]).unwrap();
        assert_eq!(patched, ROUTE.replace("weight: 100}", "weight: 95}").replace("\"0\"   #", "\"5\"   #"));
        assert_eq!(patch(&patched, &[(&candidate, 0), (&stable, 100)]).unwrap(), ROUTE);
    }

    #[test]
    fn a_path_that_leads_nowhere_or_to_several_values_changes_nothing() {
        let both = "a: [{n: x, w: 1}, {n: x, w: 2}]\nb: &b 1\nc: *b\nd: one\n";
        for wrong in ["a[n=x].w", "a[2].w", "a.w", "b.c", "c", "d", "a", "[d=two].b"] {
            assert!(patch(both, &[(&path(wrong), 7)]).is_err(), "{wrong}");
        }
        assert_eq!(patch(both, &[(&path("a[1].w"), 7)]).unwrap(), both.replace("w: 2", "w: 7"));
        assert_eq!(number(both, &path("[d=one].b")), Ok(1));
        for wrong in ["", ".", "a..b", "a[", "a[x]", "a[=x]", "[1"] {
            assert!(YamlPath::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_stands_around_a_weight_is_compared_and_comments_are_not() {
        let weight = path("[kind=HTTPRoute].spec.rules[0].backendRefs[name=shop-b].weight");
        assert!(is_same_around(ROUTE, &ROUTE.replace("# both", "# all of them"), &weight));
        assert!(is_same_around(ROUTE, &ROUTE.replace("kind: Service", "kind: Secret"), &weight));
        assert!(!is_same_around(ROUTE, &ROUTE.replace("port: 80\n", "port: 81\n"), &weight));
        assert!(!is_same_around(ROUTE, "kind: HTTPRoute\n", &weight));
        assert!(!is_same_around("a: [", "a: [", &weight), "what cannot be read is not the same");
    }

    #[test]
    fn what_keeps_people_with_a_backend_is_found_wherever_it_stands() {
        for (text, key) in [
            ("spec: {rules: [{sessionPersistence: {sessionName: s}}]}\n", "sessionPersistence"),
            ("a: 1\n---\nspec: {weighted: {sticky: {cookie: {}}}}\n", "sticky"),
            ("spec: {sessionAffinity: ClientIP}\n", "sessionAffinity"),
            (
                "metadata: {annotations: {nginx.ingress.kubernetes.io/affinity: cookie}}\n",
                "nginx.ingress.kubernetes.io/affinity",
            ),
            (
                "m: {traefik.ingress.kubernetes.io/service.sticky.cookie: \"true\"}\n",
                "traefik.ingress.kubernetes.io/service.sticky.cookie",
            ),
        ] {
            assert_eq!(persistence(text).as_deref(), Some(key), "{text}");
        }
        for none in [
            ROUTE,
            "spec: {sessionAffinity: None}\n",
            "spec: {affinity: {podAntiAffinity: {}}}\n",
            "sticky: false\n",
            "text: sessionPersistence\n",
            "a: [",
        ] {
            assert_eq!(persistence(none), None, "{none}");
        }
    }

    #[test]
    fn values_beyond_ascii_and_of_several_lines_move_nothing() {
        let text = "é: \"ü – ß\"\nb: |\n  weight: 3\n  日本\nweight: 5 # 日本\n";
        assert_eq!(patch(text, &[(&path("weight"), 100)]).unwrap(), text.replace("weight: 5", "weight: 100"));
    }
}
