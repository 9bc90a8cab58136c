//! Changed pictures are found again, among others that look much like them. `make retrieval` tries
//! more pictures and changes.

use kumo_tests::retrieval::{Change, Kind, Library, Trial};

#[test]
fn re_encoded_and_resized_pictures_come_first_among_their_siblings() {
    let library = Library {
        templates: 12,
        siblings: 10,
        others: 20,
        seed: 7,
    };
    let trial = Trial::start(library, 90).expect("the cluster starts");
    let changes: Vec<Change> = Change::ALL
        .into_iter()
        .filter(|change| change.kind() != Kind::Other)
        .collect();
    let table = trial.ask(&changes, 1).expect("every question is answered");
    for kind in [Kind::Encoding, Kind::Resizing] {
        let recall = table.blended_recall(kind);
        assert!(recall >= 0.98, "{kind:?} {recall}\n{}", table.markdown());
    }
}
