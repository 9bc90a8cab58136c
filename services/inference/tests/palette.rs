//! The palette tagger, tested for what its tags mean: pictures of known colours in, tags out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::path::PathBuf;

use kumo_inference::{
    Category, DeviceChoice, Model, Picture, Preprocessor, Runtime, Session, SessionOptions,
};

#[path = "pictures/noise.rs"]
mod noise;

use noise::noise;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;

type Rgb = [f32; 3];

struct Tagger {
    model: Model,
    session: Session,
    preprocessor: Preprocessor,
}

impl Tagger {
    fn open() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/palette-tagger");
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

    /// Confidences by label, of one picture.
    fn confidences(&mut self, picture: &Picture) -> Vec<(String, f32)> {
        let mut batch = self.session.batch(1);
        let row = batch.push(|row| self.preprocessor.prepare(picture, row));
        row.unwrap().unwrap();
        let outputs = self.session.run(&mut batch).unwrap();
        let labels = self.model.labels().iter().map(|label| label.name.clone());
        labels
            .zip(outputs.row(0).unwrap().iter().copied())
            .collect()
    }

    /// Demands that `tags` are clear and every other tag, save those that may go either way, is
    /// below the threshold.
    fn expect(&mut self, what: &str, picture: &Picture, tags: &[&str], either: &[&str]) {
        let confidences = self.confidences(picture);
        for tag in tags.iter().chain(either) {
            assert!(
                confidences.iter().any(|(name, _)| name == tag),
                "no tag {tag}"
            );
        }
        for (name, confidence) in &confidences {
            if tags.contains(&name.as_str()) {
                assert!(*confidence >= 0.75, "{what}: {name} is only {confidence}");
            } else if !either.contains(&name.as_str()) {
                assert!(*confidence < 0.5, "{what}: {name} is {confidence}");
            }
        }
    }
}

/// A picture by formula: from x and y, 0 to 1, to colour, 0 to 1.
fn paint(color: impl Fn(f32, f32) -> Rgb) -> Picture {
    let mut rgb = Vec::new();
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let pixel = color(x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32);
            rgb.extend(pixel.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8));
        }
    }
    Picture::new(WIDTH, HEIGHT, rgb).unwrap()
}

fn solid(color: Rgb) -> Picture {
    paint(|_, _| color)
}

/// An ellipse in the middle of a plain ground.
fn figure(ground: impl Fn(f32, f32) -> Rgb, color: Rgb) -> Picture {
    paint(|x, y| {
        let inside = ((x - 0.5) / 0.22).powi(2) + ((y - 0.55) / 0.32).powi(2) < 1.0;
        if inside { color } else { ground(x, y) }
    })
}

fn hue(degrees: f32, saturation: f32, value: f32) -> Rgb {
    let channel = |offset: f32| {
        let k = (offset + degrees / 60.0) % 6.0;
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

/// Photograph-like: light and shade in common, a little colour noise, around a colour.
fn photo(base: Rgb, contrast: f32, color: f32, seed: u32) -> Picture {
    paint(|x, y| {
        let light = contrast * noise(x, y, seed);
        [0, 1, 2].map(|c| base[c] + light + color * noise(x, y, seed * 7 + c as u32 + 1))
    })
}

/// Squares of given colours, as on a chessboard.
fn patches(colors: &[Rgb]) -> Picture {
    paint(|x, y| {
        let (column, row) = ((x * 8.0) as usize, (y * 8.0) as usize);
        colors[(column + row) % colors.len()]
    })
}

#[test]
fn the_labels_are_general_tags_without_ratings() {
    let tagger = Tagger::open();
    let labels = tagger.model.labels();
    assert!(
        labels
            .iter()
            .all(|label| label.category == Category::General)
    );
    assert!(labels.len() > 30, "{}", labels.len());
    assert_eq!(tagger.model.threshold(Category::General), 0.5);
}

#[test]
fn plain_pictures_of_each_colour_are_named() {
    let mut tagger = Tagger::open();
    for (name, degrees) in [
        ("red", 0.0),
        ("red", 355.0),
        ("orange", 30.0),
        ("yellow", 56.0),
        ("green", 90.0),
        ("green", 140.0),
        ("aqua", 180.0),
        ("blue", 215.0),
        ("blue", 240.0),
        ("purple", 275.0),
        ("pink", 320.0),
    ] {
        for (saturation, value) in [(1.0, 1.0), (0.8, 0.85)] {
            let picture = solid(hue(degrees, saturation, value));
            let (theme, ground) = (format!("{name}_theme"), format!("{name}_background"));
            let tags = [&theme, &ground, "simple_background", "monochrome"];
            tagger.expect(&format!("{name} {degrees}°"), &picture, &tags, &[]);
        }
    }
    let brown = [
        "brown_theme",
        "brown_background",
        "simple_background",
        "monochrome",
    ];
    tagger.expect(
        "brown",
        &solid([0.43, 0.27, 0.14]),
        &brown,
        &["muted_color"],
    );
    let pink = [
        "pink_theme",
        "pink_background",
        "simple_background",
        "monochrome",
        "pale_color",
    ];
    tagger.expect(
        "light pink",
        &solid([1.0, 0.72, 0.76]),
        &pink,
        &["muted_color"],
    );
    let dark_red = [
        "red_theme",
        "red_background",
        "simple_background",
        "monochrome",
        "dark",
    ];
    tagger.expect("dark red", &solid([0.45, 0.03, 0.03]), &dark_red, &[]);
}

#[test]
fn white_black_and_grey_are_greyscale() {
    let mut tagger = Tagger::open();
    let common = ["greyscale", "monochrome", "simple_background"];
    for (what, level, extra) in [
        ("white", 1.0, &["white_background"][..]),
        ("grey", 0.5, &["grey_background"]),
        ("black", 0.0, &["black_background", "dark"]),
    ] {
        let tags = [&common[..], extra].concat();
        tagger.expect(what, &solid([level; 3]), &tags, &[]);
    }
    let grey = photo([0.5; 3], 0.2, 0.0, 5);
    tagger.expect("grey noise", &grey, &["greyscale", "monochrome"], &[]);
    let checks = patches(&[[0.0; 3], [1.0; 3]]);
    let tags = ["greyscale", "monochrome", "high_contrast"];
    tagger.expect("chessboard", &checks, &tags, &[]);
}

#[test]
fn a_figure_on_a_plain_ground_has_that_background() {
    let mut tagger = Tagger::open();
    for (ground, color, tag) in [
        ([1.0; 3], [0.8, 0.15, 0.2], "white_background"),
        ([0.0; 3], [0.9, 0.8, 0.7], "black_background"),
        ([0.5; 3], [0.9, 0.8, 0.2], "grey_background"),
        ([0.2, 0.4, 0.9], [0.95, 0.8, 0.7], "blue_background"),
        ([0.3, 0.8, 0.35], [0.2, 0.2, 0.3], "green_background"),
    ] {
        let picture = figure(|_, _| ground, color);
        let either = [
            "monochrome",
            "spot_color",
            "blue_theme",
            "green_theme",
            "dark",
            "limited_palette",
            "high_contrast",
            "muted_color",
            "pale_color",
        ];
        tagger.expect(tag, &picture, &["simple_background", tag], &either);
    }
}

#[test]
fn a_busy_picture_has_no_simple_background() {
    let mut tagger = Tagger::open();
    for seed in 1..6 {
        let picture = photo([0.5, 0.47, 0.42], 0.2, 0.06, seed);
        let confidences = tagger.confidences(&picture);
        for (name, confidence) in confidences {
            let about_ground = name.ends_with("_background") || name.starts_with("gradient");
            assert!(
                !about_ground || confidence < 0.5,
                "seed {seed}: {name} {confidence}"
            );
        }
    }
}

#[test]
fn many_hues_are_colorful_and_two_are_a_limited_palette() {
    let mut tagger = Tagger::open();
    let rainbow = paint(|x, _| hue(x * 360.0, 0.9, 0.9));
    tagger.expect("rainbow", &rainbow, &["colorful"], &[]);
    let hues: Vec<Rgb> = (0u8..9)
        .map(|i| hue(f32::from(i) * 40.0, 0.85, 0.9))
        .collect();
    tagger.expect("patches", &patches(&hues), &["colorful"], &[]);
    let two = patches(&[[0.8, 0.1, 0.1], [0.1, 0.25, 0.8]]);
    tagger.expect("red and blue", &two, &["limited_palette"], &[]);
}

#[test]
fn one_accent_on_grey_is_a_spot_colour() {
    let mut tagger = Tagger::open();
    let picture = paint(|x, y| {
        let inside = (x - 0.5).powi(2) + (y - 0.5).powi(2) < 0.02;
        if inside {
            [0.85, 0.1, 0.15]
        } else {
            [0.5 + 0.2 * noise(x, y, 5); 3]
        }
    });
    tagger.expect("accent", &picture, &["spot_color"], &["monochrome"]);
}

#[test]
fn gradients_are_seen_as_gradients() {
    let mut tagger = Tagger::open();
    let mix = |a: Rgb, b: Rgb, t: f32| [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * t);
    let common = ["gradient", "gradient_background", "simple_background"];
    let grey = paint(|_, y| [y; 3]);
    let tags = [&common[..], &["greyscale", "monochrome"]].concat();
    tagger.expect("grey gradient", &grey, &tags, &["high_contrast"]);
    let blue = paint(|_, y| mix([0.05, 0.1, 0.35], [0.55, 0.75, 1.0], y));
    let tags = [
        &common[..],
        &["blue_theme", "blue_background", "monochrome"],
    ]
    .concat();
    tagger.expect("blue gradient", &blue, &tags, &[]);
    let evening = paint(|x, _| mix([0.98, 0.45, 0.2], [0.45, 0.15, 0.5], x));
    let either = [
        "limited_palette",
        "monochrome",
        "red_background",
        "red_theme",
    ];
    tagger.expect("evening", &evening, &common, &either);
    let sky = figure(
        |_, y| mix([0.15, 0.25, 0.6], [0.8, 0.88, 1.0], y),
        [0.9, 0.2, 0.2],
    );
    let tags = ["gradient_background", "simple_background"];
    let either = [
        "gradient",
        "blue_background",
        "blue_theme",
        "limited_palette",
        "pale_color",
    ];
    tagger.expect("figure on a gradient", &sky, &tags, &either);
}

#[test]
fn tones_are_named() {
    let mut tagger = Tagger::open();
    let night = photo([0.09, 0.09, 0.12], 0.04, 0.02, 3);
    tagger.expect(
        "night",
        &night,
        &["dark"],
        &["muted_color", "monochrome", "blue_theme"],
    );
    let old = paint(|x, y| {
        let light = 0.5 + 0.2 * noise(x, y, 7);
        [light * 1.15, light * 0.95, light * 0.72]
    });
    let either = ["muted_color", "brown_theme", "orange_theme"];
    tagger.expect("old photograph", &old, &["sepia", "monochrome"], &either);
    let muted = photo([0.45, 0.50, 0.55], 0.12, 0.04, 4);
    let either = ["limited_palette", "blue_theme", "aqua_theme", "monochrome"];
    tagger.expect("haze", &muted, &["muted_color"], &either);
    let pastel = patches(&[[1.0, 0.84, 0.88], [0.84, 0.94, 1.0], [0.89, 1.0, 0.89]]);
    tagger.expect(
        "pastel",
        &pastel,
        &["pale_color"],
        &["muted_color", "limited_palette"],
    );
    let forest = photo([0.28, 0.45, 0.2], 0.12, 0.03, 1);
    let either = ["muted_color", "limited_palette", "monochrome"];
    tagger.expect("forest", &forest, &["green_theme"], &either);
}

#[test]
fn a_confidence_grows_with_what_it_measures() {
    let mut tagger = Tagger::open();
    let mut last = 0.0;
    for share in [0.0, 0.2, 0.35, 0.5, 0.8] {
        let picture = paint(|x, y| {
            let grey = [0.5 + 0.2 * noise(x, y, 9); 3];
            if x < share { [0.85, 0.1, 0.15] } else { grey }
        });
        let confidences = tagger.confidences(&picture);
        let (_, red) = confidences
            .iter()
            .find(|(name, _)| name == "red_theme")
            .unwrap();
        assert!(*red >= last, "{share}: {red} after {last}");
        last = *red;
    }
    assert!(last > 0.9, "{last}");
}

#[test]
fn each_picture_of_a_batch_gets_what_it_gets_alone() {
    let mut tagger = Tagger::open();
    let pictures: Vec<Picture> = (1..=32)
        .map(|seed| photo([0.4, 0.5, 0.5], 0.15, 0.01 * seed as f32, seed))
        .collect();
    let mut batch = tagger.session.batch(32);
    for picture in &pictures {
        let row = batch.push(|row| tagger.preprocessor.prepare(picture, row));
        row.unwrap().unwrap();
    }
    let together = tagger.session.run(&mut batch).unwrap();
    for (picture, row) in pictures.iter().zip(together.rows()) {
        for ((name, alone), value) in tagger.confidences(picture).iter().zip(row) {
            assert!((alone - value).abs() < 1e-4, "{name}: {alone} {value}");
        }
    }
}
