//! The layout embedder, tested for what its cosines mean: a picture that was saved, scaled or marked
//! is near, the same things in other places are not, and unrelated pictures are far.
//!
//! The figures of docs/MODELS.md: `cargo nextest run -p kumo-inference --no-capture cosines_tell`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "pictures/noise.rs"]
mod noise;
#[path = "layout/scene.rs"]
mod scene;

use std::fmt;
use std::path::PathBuf;

use kumo_inference::{
    DeviceChoice, Kind, Model, Picture, Preprocessor, Runtime, Session, SessionOptions,
};
use scene::{Dice, Scene, brightened, jpeg, resized, watermarked};

const SCENES: u64 = 60;

struct Embedder {
    model: Model,
    session: Session,
    preprocessor: Preprocessor,
}

type Vector = Vec<f32>;

impl Embedder {
    fn open() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/layout-embedder");
        let model = Model::open(&folder).unwrap();
        let runtime = Runtime::load(None).unwrap_or_else(|cause| panic!("{cause}"));
        let options = SessionOptions {
            device: DeviceChoice::Cpu,
            threads: 1,
            ..SessionOptions::default()
        };
        let session = Session::open(&runtime, &model, &options).unwrap();
        let preprocessor = Preprocessor::new(&model.spec().input);
        Self {
            model,
            session,
            preprocessor,
        }
    }

    fn embed(&mut self, picture: &Picture) -> Vector {
        let mut batch = self.session.batch(1);
        let row = batch.push(|row| self.preprocessor.prepare(picture, row));
        row.unwrap().unwrap();
        let outputs = self.session.run(&mut batch).unwrap();
        self.model.vector(outputs.row(0).unwrap()).unwrap()
    }
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// How cosines spread.
struct Spread(Vec<f32>);

impl Spread {
    fn of(cosines: impl IntoIterator<Item = f32>) -> Self {
        let mut sorted: Vec<f32> = cosines.into_iter().collect();
        sorted.sort_by(f32::total_cmp);
        Self(sorted)
    }

    /// The cosine below which this share of them lies.
    fn at(&self, share: f32) -> f32 {
        let place = (self.0.len() - 1) as f32 * share;
        self.0[place.round() as usize]
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = [0.0, 0.05, 0.5, 0.95, 1.0];
        let values = shares.map(|share| format!("{:6.3}", self.at(share)));
        write!(f, "{}", values.join(" "))
    }
}

type Change = (&'static str, fn(&Picture) -> Picture);

/// What pictures go through, and stay the same picture.
const CHANGES: [Change; 9] = [
    ("JPEG, quality 30", |picture| jpeg(picture, 30)),
    ("JPEG, quality 60", |picture| jpeg(picture, 60)),
    ("JPEG, quality 95", |picture| jpeg(picture, 95)),
    ("a quarter of the size", |picture| resized(picture, 0.25)),
    ("half the size, JPEG 50", |picture| {
        jpeg(&resized(picture, 0.5), 50)
    }),
    ("twice the size", |picture| resized(picture, 2.0)),
    ("darker by 20 %", |picture| brightened(picture, 0.8)),
    ("lighter by 20 %", |picture| brightened(picture, 1.2)),
    ("with a watermark", watermarked),
];

#[test]
fn cosines_tell_the_same_picture_from_siblings_and_strangers() {
    let mut embedder = Embedder::open();
    let pictures: Vec<Picture> = (0..SCENES).map(|seed| Scene::new(seed).paint()).collect();
    let vectors: Vec<Vector> = pictures.iter().map(|each| embedder.embed(each)).collect();
    println!(
        "{:26} {:>6} {:>6} {:>6} {:>6} {:>6}",
        "cosines", "least", "5 %", "half", "95 %", "most"
    );

    // Siblings: everything moved by so much of the side, some way or other.
    let mut siblings = Vec::new();
    let mut dice = Dice(4711);
    for (distance, bound) in [(0.05, 0.93), (0.10, 0.85), (0.20, 0.65)] {
        let moved: Vec<Vector> = (0..SCENES)
            .map(|seed| embedder.embed(&Scene::new(seed).moved(distance, &mut dice).paint()))
            .collect();
        let spread = Spread::of(vectors.iter().zip(&moved).map(|(a, b)| cosine(a, b)));
        println!(
            "{:26} {spread}",
            format!("sibling, moved by {:.0} %", distance * 100.0)
        );
        assert!(spread.at(1.0) < bound, "moved by {distance}: {spread}");
        siblings.push(moved);
    }

    let pairs = vectors.iter().enumerate();
    let pairs = pairs.flat_map(|(i, a)| vectors[..i].iter().map(move |b| cosine(a, b)));
    let unrelated = Spread::of(pairs);
    println!("{:26} {unrelated}", "unrelated");
    assert!(
        unrelated.at(1.0) < 0.6 && unrelated.at(0.95) < 0.25,
        "{unrelated}"
    );
    assert!(
        unrelated.at(0.5).abs() < 0.05,
        "they are spread around 0: {unrelated}"
    );

    for (name, change) in CHANGES {
        let same: Vec<Vector> = pictures
            .iter()
            .map(|each| embedder.embed(&change(each)))
            .collect();
        let spread = Spread::of(vectors.iter().zip(&same).map(|(a, b)| cosine(a, b)));
        println!("{name:26} {spread}");
        // A mark is new content; light that leaves the range is lost.
        let (least, most_of_all) = match name {
            "with a watermark" => (0.5, 0.7),
            "lighter by 20 %" => (0.8, 0.9),
            _ => (0.95, 0.98),
        };
        assert!(
            spread.at(0.0) > least && spread.at(0.05) > most_of_all,
            "{name}: {spread}"
        );
        // Whoever looks for it finds the picture itself before any sibling or stranger.
        for (index, vector) in same.iter().enumerate() {
            let own = cosine(vector, &vectors[index]);
            let others = vectors
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index);
            let others = others
                .map(|(_, other)| other)
                .chain(siblings.iter().flatten());
            let nearest = others
                .map(|other| cosine(vector, other))
                .fold(-1.0, f32::max);
            assert!(
                own > nearest,
                "{name}, scene {index}: {own} against {nearest}"
            );
        }
    }
}

#[test]
fn plain_pictures_have_a_direction_and_it_is_that_of_their_colour() {
    let mut embedder = Embedder::open();
    let mut plain = |rgb: [u8; 3]| {
        let pixels = rgb.iter().copied().cycle().take(90 * 60 * 3).collect();
        embedder.embed(&Picture::new(90, 60, pixels).unwrap())
    };
    let (white, black, grey) = (plain([255; 3]), plain([0; 3]), plain([128; 3]));
    let (red, dim_red, blue) = (
        plain([200, 30, 30]),
        plain([190, 30, 28]),
        plain([30, 50, 200]),
    );
    assert!(cosine(&red, &dim_red) > 0.99);
    for (one, other) in [
        (&white, &black),
        (&white, &grey),
        (&black, &grey),
        (&red, &blue),
    ] {
        let found = cosine(one, other);
        assert!(found < 0.5, "{found}");
    }
}

#[test]
fn each_picture_of_a_batch_gets_what_it_gets_alone() {
    let mut embedder = Embedder::open();
    assert_eq!(embedder.model.spec().kind, Kind::Embed);
    let pictures: Vec<Picture> = (100..132).map(|seed| Scene::new(seed).paint()).collect();
    let mut batch = embedder.session.batch(32);
    for picture in &pictures {
        let row = batch.push(|row| embedder.preprocessor.prepare(picture, row));
        row.unwrap().unwrap();
    }
    let together = embedder.session.run(&mut batch).unwrap();
    assert_eq!((together.len(), together.width()), (32, 384));
    for (picture, row) in pictures.iter().zip(together.rows()) {
        let together = embedder.model.vector(row).unwrap();
        let alone = embedder.embed(picture);
        let far = alone.iter().zip(&together).map(|(a, b)| (a - b).abs());
        assert!(far.fold(0.0, f32::max) < 1e-5);
    }
}
