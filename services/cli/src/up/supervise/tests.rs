//! Stories of starting, dying and ending, on a clock of their own.

use super::*;

const TAGGER: Role = Role::Node(Kind::Tag);
const EMBEDDER: Role = Role::Node(Kind::Embed);
const REGISTRAR: Role = Role::Registrar(Kind::Tag);

/// A supervisor and the time since it started.
struct Story {
    supervisor: Supervisor,
    start: Instant,
    now: Instant,
}

impl Story {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            supervisor: Supervisor::new(Duration::from_secs(60)),
            start,
            now: start,
        }
    }

    fn step(&mut self, input: Input) -> Vec<Action> {
        self.supervisor.step(input, self.now)
    }

    /// Goes from deadline to deadline until `seconds` after the start; says when what was done.
    fn until(&mut self, seconds: f64) -> Vec<(f64, Action)> {
        let end = self.start + Duration::from_secs_f64(seconds);
        let mut done = Vec::new();
        while let Some(at) = self.supervisor.deadline().filter(|at| *at <= end) {
            self.now = at;
            let seconds = at.duration_since(self.start).as_secs_f64();
            let actions = self.step(Input::Tick);
            assert!(
                !actions.is_empty(),
                "a deadline at which nothing is to be done"
            );
            done.extend(actions.into_iter().map(|action| (seconds, action)));
        }
        self.now = end;
        done
    }

    /// A cluster at work: store, watcher, similarity and tagger run, both models are known, and
    /// nobody wants an embedder.
    fn at_work() -> Self {
        let mut story = Self::new();
        story.step(Input::Tick);
        story.step(Input::RootsKnown);
        story.step(Input::Listens(Role::Store, 1));
        story.step(Input::Ended(REGISTRAR, Exit::Clean));
        story.step(Input::Ended(Role::Registrar(Kind::Embed), Exit::Clean));
        story.step(Input::Works(Role::Store));
        story.step(Input::Works(Role::Watcher));
        story.step(Input::Works(Role::Similarity));
        assert_eq!(
            story.step(Input::Demand(Kind::Tag, 3)),
            [Action::Start(TAGGER)]
        );
        story.step(Input::Listens(TAGGER, 40));
        story
    }
}

#[test]
fn the_others_start_once_the_store_listens() {
    let mut story = Story::new();
    assert_eq!(story.step(Input::Tick), [Action::Start(Role::Store)]);
    assert_eq!(story.step(Input::Tick), []);
    assert_eq!(
        story.step(Input::Listens(Role::Store, 1)),
        [
            Action::Start(Role::Similarity),
            Action::Start(REGISTRAR),
            Action::Start(Role::Registrar(Kind::Embed)),
        ]
    );
    assert_eq!(
        story.step(Input::RootsKnown),
        [Action::Start(Role::Watcher)]
    );
    assert_eq!(
        story.step(Input::Demand(Kind::Tag, 5)),
        [],
        "no tagger before the model is known"
    );
    assert_eq!(
        story.step(Input::Ended(REGISTRAR, Exit::Clean)),
        [Action::Start(TAGGER)]
    );
    assert_eq!(
        story.step(Input::Demand(Kind::Tag, 900)),
        [],
        "one is enough"
    );
}

#[test]
fn each_kind_of_inference_goes_by_its_own_demand() {
    let mut story = Story::at_work();
    assert_eq!(
        story.step(Input::Demand(Kind::Embed, 2)),
        [Action::Start(EMBEDDER)]
    );
    story.step(Input::Listens(EMBEDDER, 50));
    story.step(Input::Demand(Kind::Embed, 0));
    assert_eq!(
        story.until(70.0),
        [(60.0, Action::Terminate(EMBEDDER))],
        "the tagger has work still"
    );
    story.step(Input::Ended(EMBEDDER, Exit::Clean));
    assert_eq!(
        story.step(Input::Demand(Kind::Embed, 1)),
        [Action::Start(EMBEDDER)]
    );
    story.step(Input::Listens(EMBEDDER, 51));
    assert_eq!(
        story.step(Input::Ended(EMBEDDER, Exit::Killed)),
        [Action::ReportCrash(Kind::Embed, 51)]
    );
    assert_eq!(story.until(71.0), [(70.5, Action::Start(EMBEDDER))]);
}

#[test]
fn an_embedder_that_cannot_be_registered_keeps_no_tagger_from_its_work() {
    let mut story = Story::new();
    story.step(Input::Tick);
    story.step(Input::Listens(Role::Store, 1));
    story.step(Input::Ended(Role::Registrar(Kind::Embed), Exit::Refused));
    story.step(Input::Demand(Kind::Embed, 3));
    story.step(Input::Demand(Kind::Tag, 3));
    assert_eq!(
        story.step(Input::Ended(REGISTRAR, Exit::Clean)),
        [Action::Start(TAGGER)]
    );
    assert!(!story.supervisor.is_registered(Kind::Embed));
    let again = Action::Start(Role::Registrar(Kind::Embed));
    assert_eq!(story.until(0.6), [(0.5, again)]);
}

#[test]
fn a_similarity_service_that_dies_is_started_again_and_is_no_reason_to_give_up() {
    let mut story = Story::at_work();
    assert_eq!(
        story.step(Input::Ended(Role::Similarity, Exit::Killed)),
        [],
        "it holds no task: nothing is reported"
    );
    assert_eq!(story.until(0.6), [(0.5, Action::Start(Role::Similarity))]);

    let mut story = Story::new();
    story.step(Input::Tick);
    story.step(Input::Listens(Role::Store, 1));
    assert_eq!(
        story.step(Input::Ended(Role::Similarity, Exit::Refused)),
        []
    );
    assert_eq!(story.until(0.6), [(0.5, Action::Start(Role::Similarity))]);
}

#[test]
fn the_tagger_outlives_the_demand_by_a_minute_and_comes_back() {
    let mut story = Story::at_work();
    assert_eq!(story.step(Input::Demand(Kind::Tag, 0)), []);
    assert_eq!(story.until(59.0), []);
    story.step(Input::Demand(Kind::Tag, 1));
    assert_eq!(story.until(200.0), [], "demand came back in time");
    story.step(Input::Demand(Kind::Tag, 0));
    story.until(210.0);
    assert_eq!(
        story.step(Input::Demand(Kind::Tag, 0)),
        [],
        "the first zero counts"
    );
    let done = story.until(280.0);
    assert_eq!(done, [(260.0, Action::Terminate(TAGGER))]);
    assert_eq!(
        story.step(Input::Demand(Kind::Tag, 2)),
        [],
        "one that ends is waited for"
    );
    assert_eq!(
        story.step(Input::Ended(TAGGER, Exit::Clean)),
        [Action::Start(TAGGER)]
    );
}

#[test]
fn the_wait_doubles_to_half_a_minute_and_is_short_again_after_a_healthy_minute() {
    let mut story = Story::at_work();
    let mut waits = Vec::new();
    for _ in 0..9 {
        story.step(Input::Ended(Role::Watcher, Exit::Killed));
        let died = story.now;
        let again = story.supervisor.deadline().expect("it waits");
        waits.push(again.duration_since(died).as_secs_f64());
        story.now = again;
        assert_eq!(story.step(Input::Tick), [Action::Start(Role::Watcher)]);
    }
    assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
    story.now += Duration::from_secs(61);
    story.step(Input::Ended(Role::Watcher, Exit::Killed));
    let again = story.supervisor.starts_again(Role::Watcher);
    assert_eq!(again, Some(story.now + FIRST_WAIT));
}

#[test]
fn who_leaves_in_order_again_and_again_though_wanted_is_waited_for_longer_and_longer() {
    let mut story = Story::at_work();
    let mut starts = Vec::new();
    for _ in 0..4 {
        assert_eq!(story.step(Input::Ended(TAGGER, Exit::Clean)), []);
        let again = story.supervisor.starts_again(TAGGER);
        let again = again.expect("it is started again");
        starts.push(again.duration_since(story.now).as_secs_f64());
        story.now = again;
        assert_eq!(story.step(Input::Tick), [Action::Start(TAGGER)]);
    }
    assert_eq!(starts, [0.5, 1.0, 2.0, 4.0]);
}

#[test]
fn only_a_tagger_that_died_by_itself_is_reported() {
    let mut story = Story::at_work();
    assert_eq!(
        story.step(Input::Ended(TAGGER, Exit::Killed)),
        [Action::ReportCrash(Kind::Tag, 40)]
    );
    assert_eq!(story.until(1.0), [(0.5, Action::Start(TAGGER))]);
    // It did not even listen: it had nothing running.
    assert_eq!(story.step(Input::Ended(TAGGER, Exit::Refused)), []);
    assert_eq!(story.supervisor.refusals(TAGGER), 1);

    let mut story = Story::at_work();
    story.step(Input::Stop);
    story.step(Input::Ended(Role::Similarity, Exit::Clean));
    let actions = story.step(Input::Ended(TAGGER, Exit::Killed));
    assert_eq!(actions, [Action::Terminate(Role::Watcher)]);
}

#[test]
fn all_end_in_order_similarity_and_tagger_watcher_store() {
    let mut story = Story::at_work();
    assert_eq!(
        story.step(Input::Stop),
        [
            Action::Terminate(Role::Similarity),
            Action::Terminate(TAGGER)
        ]
    );
    assert_eq!(story.step(Input::Demand(Kind::Tag, 7)), []);
    assert_eq!(story.step(Input::Ended(Role::Similarity, Exit::Clean)), []);
    assert_eq!(
        story.step(Input::Ended(TAGGER, Exit::Clean)),
        [Action::Terminate(Role::Watcher)]
    );
    assert_eq!(
        story.step(Input::Ended(Role::Watcher, Exit::Clean)),
        [Action::Terminate(Role::Store)]
    );
    assert_eq!(
        story.step(Input::Ended(Role::Store, Exit::Clean)),
        [Action::Leave]
    );
}

#[test]
fn who_does_not_end_in_time_is_killed_and_the_rest_follow() {
    let mut story = Story::at_work();
    story.step(Input::Stop);
    story.step(Input::Ended(Role::Similarity, Exit::Clean));
    assert_eq!(
        story.until(30.0),
        [(GRACE.as_secs_f64(), Action::Kill(TAGGER))]
    );
    assert_eq!(
        story.step(Input::Ended(TAGGER, Exit::Killed)),
        [Action::Terminate(Role::Watcher)]
    );
}

#[test]
fn nobody_is_started_while_all_end() {
    let mut story = Story::at_work();
    story.step(Input::Ended(Role::Watcher, Exit::Killed));
    story.step(Input::Stop);
    story.step(Input::Ended(Role::Similarity, Exit::Clean));
    assert_eq!(
        story.step(Input::Ended(TAGGER, Exit::Clean)),
        [Action::Terminate(Role::Store)],
        "the watcher that waited to be started again is down"
    );
    assert_eq!(story.until(24.0), []);
    assert_eq!(
        story.step(Input::Ended(Role::Store, Exit::Refused)),
        [Action::Leave]
    );
}

#[test]
fn a_store_that_never_worked_ends_all_and_one_that_did_is_started_again() {
    let mut story = Story::new();
    story.step(Input::Tick);
    assert_eq!(
        story.step(Input::Ended(Role::Store, Exit::Refused)),
        [Action::GiveUp(Role::Store), Action::Leave]
    );

    let mut story = Story::at_work();
    assert_eq!(story.step(Input::Ended(Role::Store, Exit::Refused)), []);
    assert_eq!(story.until(0.6), [(0.5, Action::Start(Role::Store))]);
}
