//! Every format and colour layout comes out as the same picture.

use image::{DynamicImage, ImageFormat, RgbImage};
use kumo_renderer::{Format, Reason, Wanted};
use turbojpeg::Subsamp;

use crate::make::{
    cmyk_jpeg, difference, encoded, jpeg, jpeg_with, noise, pixels, pool, reason, render, scene,
};

/// 4:2:0 at our quality, on smooth pictures, stays below this.
const CLOSE: f64 = 4.0;

#[tokio::test]
async fn every_format_gives_the_same_picture() {
    let pool = pool();
    let picture = scene(160, 120);
    for format in Format::ALL {
        let rendered = render(&pool, &encoded(&picture, format))
            .await
            .expect("renders");
        assert_eq!(rendered.format, format);
        assert_eq!((rendered.width, rendered.height), (160, 120));
        assert_eq!((rendered.frames, rendered.orientation), (1, 1));
        assert!(!rendered.has_alpha && !rendered.partial, "{format:?}");
        let sample = rendered.sample.expect("wanted");
        assert_eq!((sample.width, sample.height), (160, 120));
        // A GIF has 256 colours.
        let most = if format == Format::Gif { 8.0 } else { CLOSE };
        let far = difference(&pixels(&sample.jpeg), &picture);
        assert!(far < most, "{format:?} is {far:.1} off");
        assert_eq!(rendered.blur_hash.expect("wanted").len(), 28);
    }
}

#[tokio::test]
async fn every_kind_of_jpeg_gives_the_same_picture() {
    let pool = pool();
    let picture = scene(160, 120);
    let kinds = [
        ("4:4:4", jpeg(&picture, 95, Subsamp::None)),
        ("4:2:2", jpeg(&picture, 95, Subsamp::Sub2x1)),
        ("4:2:0", jpeg(&picture, 95, Subsamp::Sub2x2)),
        (
            "progressive",
            jpeg_with(&picture, |it| it.set_progressive(true)),
        ),
        (
            "arithmetic",
            jpeg_with(&picture, |it| it.set_arithmetic(true)),
        ),
        ("lossless", jpeg_with(&picture, |it| it.set_lossless(true))),
        ("Adobe CMYK", cmyk_jpeg(&picture)),
    ];
    for (name, bytes) in kinds {
        let rendered = render(&pool, &bytes).await.expect(name);
        assert!(!rendered.partial, "{name}");
        let far = difference(&pixels(&rendered.sample.expect("wanted").jpeg), &picture);
        assert!(far < CLOSE, "{name} is {far:.1} off");
    }
    let grey = jpeg(&picture, 95, Subsamp::Gray);
    let rendered = render(&pool, &grey).await.expect("a grey JPEG");
    let out = pixels(&rendered.sample.expect("wanted").jpeg);
    let most = out.pixels().map(|p| p.0[0].abs_diff(p.0[2])).max();
    assert!(most <= Some(2), "grey stays grey");
}

#[tokio::test]
async fn deep_and_transparent_layouts_are_brought_to_eight_bits_on_white() {
    let pool = pool();
    let picture = scene(160, 120);
    let whole = DynamicImage::ImageRgb8(picture.clone());
    let layouts = [
        (
            "PNG 16 bit",
            DynamicImage::from(whole.to_rgb16()),
            ImageFormat::Png,
        ),
        (
            "PNG 16 bit alpha",
            DynamicImage::from(whole.to_rgba16()),
            ImageFormat::Png,
        ),
        (
            "TIFF 16 bit",
            DynamicImage::from(whole.to_rgb16()),
            ImageFormat::Tiff,
        ),
        (
            "TIFF float",
            DynamicImage::from(whole.to_rgb32f()),
            ImageFormat::Tiff,
        ),
        (
            "WebP alpha",
            DynamicImage::from(whole.to_rgba8()),
            ImageFormat::WebP,
        ),
    ];
    for (name, layout, format) in layouts {
        let rendered = render(&pool, &crate::make::write(&layout, format))
            .await
            .expect(name);
        assert!(
            !rendered.has_alpha,
            "{name}: alpha that is opaque everywhere is none"
        );
        let far = difference(&pixels(&rendered.sample.expect("wanted").jpeg), &picture);
        assert!(far < CLOSE, "{name} is {far:.1} off");
    }
    let mut clear = whole.to_rgba8();
    for (x, _, pixel) in clear.enumerate_pixels_mut() {
        if x < 80 {
            pixel.0[3] = 0;
        }
    }
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let bytes = crate::make::write(&DynamicImage::ImageRgba8(clear.clone()), format);
        let rendered = render(&pool, &bytes).await.expect("renders");
        assert!(rendered.has_alpha, "{format:?}");
        let out = pixels(&rendered.sample.expect("wanted").jpeg);
        let left = out.get_pixel(20, 60).0;
        assert!(
            left.iter().all(|value| *value > 250),
            "{format:?}: {left:?}"
        );
    }
}

#[tokio::test]
async fn a_large_jpeg_and_a_large_png_give_the_same_small_sample() {
    let pool = pool();
    let picture = noise(1501, 1101, 3);
    let from_jpeg = render(&pool, &jpeg(&picture, 95, Subsamp::None))
        .await
        .expect("JPEG");
    let from_png = render(&pool, &encoded(&picture, Format::Png))
        .await
        .expect("PNG");
    assert_eq!((from_jpeg.width, from_jpeg.height), (1501, 1101));
    let (a, b) = (
        from_jpeg.sample.expect("wanted"),
        from_png.sample.expect("wanted"),
    );
    assert_eq!((a.width, a.height), (751, 551));
    let far = difference(&pixels(&a.jpeg), &pixels(&b.jpeg));
    assert!(far < 6.0, "{far:.1} off");
    let (a, b) = (
        from_jpeg.hash.expect("wanted"),
        from_png.hash.expect("wanted"),
    );
    assert!(a.distance(&b) <= 6, "{} bits apart", a.distance(&b));
    let preview = from_jpeg.preview.expect("wanted");
    assert_eq!((preview.width, preview.height), (320, 235));
}

#[tokio::test]
async fn only_what_is_wanted_is_made() {
    let pool = pool();
    let bytes = encoded(&scene(64, 48), Format::Png);
    let job = kumo_renderer::Job::new("one", bytes).wanting(Wanted::SAMPLE);
    let rendered = pool.render(job).await.expect("renders");
    assert!(rendered.sample.is_some() && rendered.preview.is_none());
    assert!(rendered.hash.is_none() && rendered.blur_hash.is_none());
}

#[tokio::test]
async fn the_smallest_pictures_render() {
    let pool = pool();
    for (width, height) in [(1, 1), (1, 700), (3000, 1)] {
        for format in Format::ALL {
            let bytes = encoded(&RgbImage::new(width, height), format);
            let rendered = render(&pool, &bytes).await.expect("renders");
            assert_eq!((rendered.width, rendered.height), (width, height));
            assert!(rendered.hash.expect("wanted").is_near_blank());
        }
    }
}

#[tokio::test]
async fn what_is_no_picture_says_what_it_is() {
    let pool = pool();
    for (bytes, expected) in [
        (&b""[..], Reason::EmptyFile),
        (b"hello, world", Reason::NotAPicture),
        (&[0; 4096], Reason::NotAPicture),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            Reason::UnsupportedFormat,
        ),
        (
            b"\0\0\0\x20ftypavif\0\0\0\0avifmif1",
            Reason::UnsupportedFormat,
        ),
        (b"\0\0\0\x20ftypisom\0\0\0\0", Reason::UnsupportedFormat),
    ] {
        assert_eq!(reason(render(&pool, bytes).await), expected);
    }
}

#[tokio::test]
async fn a_truncated_file_is_partial_as_jpeg_and_refused_as_anything_else() {
    let pool = pool();
    let picture = noise(200, 200, 1);
    for format in Format::ALL {
        let bytes = encoded(&picture, format);
        let half = render(&pool, &bytes[..bytes.len() / 2]).await;
        if format == Format::Jpeg {
            assert!(half.expect("half a JPEG is something").partial);
        } else {
            assert_eq!(reason(half), Reason::Truncated, "{format:?}");
        }
        let header = reason(render(&pool, &bytes[..24]).await);
        assert!(
            matches!(header, Reason::Truncated | Reason::Corrupt),
            "{format:?}: {header:?}"
        );
    }
    let bytes = encoded(&picture, Format::Jpeg);
    let scan = bytes
        .windows(2)
        .position(|pair| pair == [0xff, 0xda])
        .expect("a scan");
    let no_data = render(&pool, &bytes[..scan + 14]).await;
    assert_eq!(reason(no_data), Reason::Truncated);
}
