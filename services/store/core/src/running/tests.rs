//! Running time is what the trash goes by.

use crate::Now;
use crate::fixture::{NOW, Scene, later};
use crate::trash::KEPT_MS;

#[test]
fn a_wall_clock_that_is_set_wrong_empties_no_trash() {
    const YEAR_MS: i64 = 365 * 24 * 3_600 * 1_000;
    let mut scene = Scene::new();
    scene.register(1..=2);
    scene.run(|w| w.trash_posts(&[1], NOW));
    let wrong = Now {
        unix_ms: NOW.unix_ms + YEAR_MS,
        ..NOW
    };
    for _ in 0..2 {
        assert!(!scene.trash_is_due(wrong).unwrap());
        assert!(!scene.run(|w| w.upkeep(wrong)));
        assert_eq!(scene.find("status:trash"), [1]);
        scene.reopen();
    }
    // Thrown away while it was wrong: set right, it keeps its whole time all the same.
    let until = scene.run(|w| w.trash_posts(&[2], wrong));
    assert_eq!(until, Some(wrong.unix_ms + KEPT_MS));
    let nearly = later(KEPT_MS.cast_unsigned() - 1);
    assert!(!scene.run(|w| w.upkeep(nearly)));
    assert_eq!(scene.find("status:trash"), [2, 1]);
    assert!(!scene.run(|w| w.upkeep(later(KEPT_MS.cast_unsigned()))));
    assert_eq!(scene.find("status:trash"), [0u32; 0]);
}

#[test]
fn the_time_in_the_trash_is_counted_over_restarts_and_not_between_them() {
    const HOUR_MS: u64 = 3_600 * 1_000;
    let mut scene = Scene::new();
    scene.register(1..=1);
    assert!(
        !scene.trash_is_due(later(HOUR_MS)).unwrap(),
        "nobody goes by it"
    );
    scene.run(|w| w.trash_posts(&[1], NOW));
    let days = 30;
    for day in 0..days {
        assert_eq!(scene.find("status:trash"), [1], "day {day}");
        // A day of 24 hours, of which upkeep hears every seven minutes; then a start, for which
        // the clocks begin anew.
        for minutes in (7..24 * 60).step_by(7) {
            let now = later(minutes * HOUR_MS / 60);
            if scene.trash_is_due(now).unwrap() {
                scene.run(|w| w.upkeep(now));
            }
        }
        scene.reopen();
    }
    assert_eq!(
        scene.find("status:trash"),
        [1],
        "what was not written at the starts is still to pass"
    );
    let left = scene.run(|w| w.trash_posts(&[1], NOW)).unwrap() - NOW.unix_ms;
    assert!((1..=days * 300_000).contains(&left), "{left} ms");
    let over = later(left.cast_unsigned());
    assert!(scene.trash_is_due(over).unwrap());
    scene.run(|w| w.upkeep(over));
    assert_eq!(scene.find("status:trash"), [0u32; 0]);
}
