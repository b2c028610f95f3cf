//! Evidence: it holds as it was written, and nothing in it can be changed without that being seen.

use serde_json::Value as Json;

use crate::{
    gate::{
        Answer, Evidence, MAX_EVIDENCE_BYTES, Measure, Metric, Question, Value, Verdict,
        answers::meaning,
        judge,
        testing::{Scene, id, time},
    },
    model::{Digest, GateId, Reason, Refusal, policy::Source},
};

const TERMS: &str = "gates:\n  depth:\n    source: exec\n    kind: gauge\n    candidate: {value: 'depth {{candidate}}'}\n    \
    settle: 0s\n    interval: 1m\n    min: {slots: 2}\n    absolute: {max: 10}\nthresholds:\n  depth: {halt: '> 20'}\n  memory: {halt: '> 95'}\n";

/// A source that says what a program would.
struct ProgramSource(&'static str);

impl Measure for ProgramSource {
    fn ask(&self, question: &Question) -> Answer {
        Answer { value: meaning(question, self.0), raw: Some(self.0.to_owned()) }
    }

    fn has(&self, _: Source) -> Result<(), Refusal> {
        Ok(())
    }

    fn metric(&self, name: &GateId) -> Option<Metric> {
        (name.as_str() == "memory").then(|| Metric { source: Source::Exec, query: "memory {{candidate}}".to_owned() })
    }
}

fn evidence(answer: &'static str) -> Evidence {
    let mut scene = Scene::new(TERMS);
    judge(&scene.terms, &scene.context, &mut scene.watch, time(60), &ProgramSource("{\"value\": 1}"));
    let judged = judge(&scene.terms, &scene.context, &mut scene.watch, time(120), &ProgramSource(answer));
    Evidence::new(scene.terms, scene.context, scene.watch, judged)
}

#[test]
fn evidence_holds_as_it_was_written() {
    for (answer, verdict) in [
        ("{\"value\": 3}", Verdict::Pass),
        ("{\"value\": 30}", Verdict::Fail),
        ("{\"nothing\": true}", Verdict::Inconclusive),
        ("{\"value\": null}", Verdict::Inconclusive),
        ("garbage", Verdict::Inconclusive),
    ] {
        let evidence = evidence(answer);
        assert_eq!(evidence.judgement.verdict, verdict);
        let bytes = evidence.bytes().unwrap();
        let read = Evidence::read(&bytes, Digest::of(&bytes)).unwrap();
        assert_eq!(read, evidence);
        let again = read.reevaluate();
        assert_eq!((again.differences, again.judgement), (Vec::new(), evidence.judgement));
    }
}

#[test]
fn other_bytes_than_those_that_were_signed_are_refused() {
    let bytes = evidence("{\"value\": 3}").bytes().unwrap();
    let digest = Digest::of(&bytes);
    let mut other = bytes.clone();
    other.push(b'\n');
    assert_eq!(Evidence::read(&other, digest).unwrap_err().reason, Reason::DigestMismatch);
    assert_eq!(Evidence::read(b"{}", Digest::of(b"{}")).unwrap_err().reason, Reason::Malformed);
    let newer = String::from_utf8(bytes).unwrap().replacen("\"version\": 5", "\"version\": 6", 1);
    let unknown = Evidence::read(newer.as_bytes(), Digest::of(newer.as_bytes())).unwrap_err();
    assert_eq!(unknown.reason, Reason::NoData, "what is of another form is not false");
    assert!(unknown.message.starts_with("this version cannot judge it again"), "{unknown}");
}

#[test]
fn whatever_was_changed_is_seen() {
    let evidence = evidence("{\"value\": 30}");
    let honest: Json = serde_json::from_slice(&evidence.bytes().unwrap()).unwrap();
    let changed = |path: &str, value: Json| {
        let mut changed = honest.clone();
        *changed.pointer_mut(path).unwrap_or_else(|| panic!("{path} in {honest:#}")) = value;
        let bytes = serde_json::to_vec(&changed).unwrap();
        Evidence::read(&bytes, Digest::of(&bytes)).unwrap().reevaluate().differences
    };
    assert_eq!(changed("/version", 5.into()), Vec::<String>::new(), "nothing is changed");
    for (path, value) in [
        ("/judgement/verdict", "PASS".into()),
        ("/judgement/gates/depth/verdict", "PASS".into()),
        ("/judgement/gates/depth/candidate/summary/max", 3.0.into()),
        ("/judgement/threshold", "fine".into()),
        ("/judgement/at", time(9000).to_string().into()),
        ("/terms/gates/depth/absolute/max", 40.0.into()),
        ("/terms/gates/depth/candidate/value", "other".into()),
        ("/terms/thresholds/depth/halt", "> 40".into()),
        ("/context/candidate", "v3".into()),
        ("/context/started", time(1).to_string().into()),
        ("/context/tier", 25.into()),
        ("/watch/gates/depth/slots/1/answers/0/value/number", 3.0.into()),
        ("/watch/gates/depth/slots/1/answers/0/raw", "{\"value\": 3}".into()),
        ("/watch/gates/depth/slots/1/answers/0/query", "depth v3".into()),
        ("/watch/gates/depth/slots/1/answers/0/query", Json::Null),
        ("/watch/thresholds/memory/slots/1/answers/0/query", Json::Null),
        ("/watch/gates/depth/slots/1/answers/0/from", time(0).to_string().into()),
        ("/watch/gates/depth/slots/1/at", time(121).to_string().into()),
        ("/watch/gates/depth/slots/1/number", 3.into()),
        ("/watch/gates/depth/slots/0/number", 2.into()),
        ("/watch/gates/depth/slots/1/answers", Json::Array(Vec::new())),
        ("/watch/thresholds/memory/metric/query", "memory v1".into()),
        ("/watch/thresholds/memory/metric", Json::Null),
        ("/watch/thresholds/memory/slots/1/answers/0/raw", "{\"value\": 3}".into()),
        ("/watch/thresholds/memory/slots/1/answers/0/value/number", 99.0.into()),
        ("/watch/thresholds/memory/slots/1/number", 9.into()),
        ("/watch/thresholds/memory/forgotten/measured", 1.into()),
        ("/watch/gates/depth/forgotten/measured", 1.into()),
        ("/watch/gates/depth/forgotten/without_data", 1.into()),
    ] {
        assert!(!changed(path, value).is_empty(), "{path}");
    }
}

#[test]
fn numbers_without_words_are_on_the_signer_s_word_and_that_is_counted() {
    let evidence = evidence("{\"value\": 30}");
    assert_eq!(evidence.reevaluate().on_word, 0);
    let mut wordless: Json = serde_json::from_slice(&evidence.bytes().unwrap()).unwrap();
    *wordless.pointer_mut("/watch/gates/depth/slots/1/answers/0/raw").unwrap() = Json::Null;
    let bytes = serde_json::to_vec(&wordless).unwrap();
    let again = Evidence::read(&bytes, Digest::of(&bytes)).unwrap().reevaluate();
    assert_eq!((again.differences, again.on_word), (Vec::new(), 1));
}

#[test]
fn what_a_slot_says_is_derived_and_never_read() {
    let evidence = evidence("{\"value\": 30}");
    let mut document: Json = serde_json::from_slice(&evidence.bytes().unwrap()).unwrap();
    let slot = document.pointer_mut("/watch/gates/depth/slots/1").unwrap().as_object_mut().unwrap();
    slot.insert("found".to_owned(), serde_json::json!({"fine": "well"}));
    let bytes = serde_json::to_vec(&document).unwrap();
    assert_eq!(Evidence::read(&bytes, Digest::of(&bytes)).unwrap_err().reason, Reason::Malformed);
}

#[test]
fn a_threshold_that_was_not_looked_at_yet_is_no_difference() {
    let terms = TERMS.replace("interval: 1m", "interval: 5s");
    let mut scene = Scene::new(&terms);
    let judged = judge(&scene.terms, &scene.context, &mut scene.watch, time(5), &ProgramSource("{\"value\": 30}"));
    assert_eq!(judged.verdict, Verdict::Fail);
    let evidence = Evidence::new(scene.terms, scene.context, scene.watch, judged);
    assert_eq!(evidence.watch.slots(&id("depth")).len(), 1);
    assert_eq!(evidence.reevaluate().differences, Vec::<String>::new(), "memory is due after half a minute");
}

#[test]
fn what_was_decided_is_derived_again_however_many_slots_came_later() {
    let mut scene = Scene::new(&TERMS.replace("interval: 1m", "interval: 1s"));
    let look = |scene: &mut Scene, second: i64, answer| {
        judge(&scene.terms, &scene.context, &mut scene.watch, time(second), &ProgramSource(answer))
    };
    look(&mut scene, 39, "{\"value\": 1}");
    look(&mut scene, 40, "{\"value\": 30}");
    let keep = crate::gate::watch::Keep { decisive: [40].into(), halting: Some(40), ..Default::default() };
    let seen = scene.watch.gates.get_mut(&id("depth")).unwrap();
    for number in 41..=1699 {
        let mut slot = seen.slots[0].clone();
        (slot.number, slot.at) = (u64::try_from(number).unwrap(), time(number));
        slot.answers[0].from = time(number - 1);
        seen.push(slot, &keep);
    }
    let judged = look(&mut scene, 1700, "{\"value\": 1}");
    let depth = &judged.gates[&id("depth")];
    assert_eq!((depth.verdict, depth.decided, depth.slots.measured), (Verdict::Fail, Some(40), 1662));
    assert_eq!(judged.threshold, crate::gate::ThresholdState::Halt);
    let slots = scene.watch.slots(&id("depth"));
    assert_eq!(
        (slots.len(), slots[0].number, slots[1].number, slots[2].number),
        (1500, 39, 40, 203),
        "what it rests on is kept"
    );
    let evidence = Evidence::new(scene.terms, scene.context, scene.watch, judged);
    assert_eq!(evidence.reevaluate().differences, Vec::<String>::new());
}

#[test]
fn a_gate_s_figures_can_be_read_from_the_evidence() {
    let evidence = evidence("{\"value\": 3}");
    assert_eq!(evidence.watch.slots(&id("depth"))[1].answers[0].value, Value::Number(3.0));
    assert_eq!(evidence.watch.slots(&id("depth"))[1].answers[0].query.as_deref(), Some("depth v2"));
}

#[test]
fn other_words_and_what_rounding_makes_of_a_figure_are_no_differences() {
    let evidence = evidence("{\"value\": 30}");
    let honest: Json = serde_json::from_slice(&evidence.bytes().unwrap()).unwrap();
    let changed = |path: &str, value: Json| {
        let mut changed = honest.clone();
        *changed.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        let bytes = serde_json::to_vec(&changed).unwrap();
        Evidence::read(&bytes, Digest::of(&bytes)).unwrap().reevaluate().differences
    };
    assert_eq!(changed("/judgement/gates/depth/why", "as another version says it".into()), Vec::<String>::new());
    assert_eq!(changed("/judgement/thresholds/depth/why", "otherwise".into()), Vec::<String>::new());
    let max = "/judgement/gates/depth/candidate/summary/max";
    assert_eq!(changed(max, (30.0 * (1.0 + 5e-10)).into()), Vec::<String>::new());
    let far = changed(max, (30.0 * (1.0 + 5e-9)).into());
    assert!(far[0].starts_with("gate depth: the figures differ: candidate.summary.max was "), "{far:?}");
    let slots = changed("/judgement/gates/depth/slots/measured", 3.into());
    assert_eq!(slots, ["gate depth: the figures differ: slots.measured was 3 and is 2"]);
}

const SAMPLES: &str = "gates:\n  latency: &g\n    source: exec\n    kind: sample\n    candidate: {value: 'l {{candidate}}'}\n    \
    settle: 0s\n    interval: 1m\n    min: {n: 50, slots: 1}\n    compare: {test: mann-whitney, min-a12: 0.6}\n    absolute: {max: 9}\n";

#[test]
fn evidence_that_is_written_is_never_too_long_to_be_read() {
    let other = |name: &str| SAMPLES.replace("gates:\n", "").replace("latency: &g", name);
    let mut scene = Scene::new(&format!("{}{}{}", SAMPLES.replace(" &g", ""), other("queue:"), other("disk:")));
    let values: Vec<f64> = (0..60_000).map(|k| 1.0 + (f64::from(k) * 0.618_033_988_7).fract()).collect();
    for version in ["l v2", "l v1"] {
        scene.source.tell(version, crate::gate::testing::observed(values.clone()));
    }
    for look in 13..=17 {
        let judged = scene.look(60 * look);
        let evidence = Evidence::new(scene.terms.clone(), scene.context.clone(), scene.watch.clone(), judged.clone());
        let bytes = evidence.bytes().unwrap();
        assert!(bytes.len() < MAX_EVIDENCE_BYTES / 2, "{} bytes", bytes.len());
        let again = Evidence::read(&bytes, Digest::of(&bytes)).unwrap().reevaluate();
        assert_eq!((again.differences, again.judgement), (Vec::new(), judged), "{look}");
    }
    assert_eq!(scene.look(60 * 17).verdict, Verdict::Pass);
}
