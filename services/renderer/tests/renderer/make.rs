//! Pictures made for the tests, their containers, and a pool over the built program.

use std::io::Cursor;
use std::path::PathBuf;
use std::time::Duration;

use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};
use kumo_renderer::{Config, Error, Format, Job, Limits, Pool, Reason, Rendered};
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_kumo-renderer"))
}

/// One child, long-lived enough for a test.
pub(crate) fn config() -> Config {
    Config {
        program: Some(program()),
        ..Config::default()
    }
}

pub(crate) fn pool() -> Pool {
    Pool::new(config())
}

pub(crate) fn pool_with_limits(change: impl FnOnce(&mut Limits)) -> Pool {
    let mut config = config();
    change(&mut config.limits);
    Pool::new(config)
}

pub(crate) async fn render(pool: &Pool, bytes: &[u8]) -> Result<Rendered, Error> {
    let answer = pool.render(Job::new("a test picture", bytes.to_vec()));
    tokio::time::timeout(Duration::from_secs(60), answer)
        .await
        .expect("the pool always answers")
}

pub(crate) fn reason(answer: Result<Rendered, Error>) -> Reason {
    answer
        .expect_err("a refusal")
        .reason()
        .expect("a refusal of the picture")
}

/// A picture without any symmetry: four colours in the corners, ramps and stripes between.
pub(crate) fn scene(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x * 255 / width, y * 255 / height);
        let stripe = if u > 160 && v < 90 { 60 } else { 0 };
        let red = (255 - u).saturating_sub(stripe);
        let blue = if u < 80 && v > 150 { 230 } else { 255 - v };
        image::Rgb([red as u8, v as u8, blue as u8])
    })
}

/// Detail at every scale, and another for every seed.
pub(crate) fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
    let hash = |x: u32, y: u32, octave: u32| {
        let mut h = x
            .wrapping_mul(0x9e37_79b1)
            .wrapping_add(y.wrapping_mul(0x85eb_ca6b))
            .wrapping_add(octave.wrapping_mul(0xc2b2_ae35))
            .wrapping_add(seed.wrapping_mul(0x27d4_eb2f));
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        (h >> 16) & 0xff
    };
    RgbImage::from_fn(width, height, |x, y| {
        let channel = |salt: u32| {
            let mut sum = 0;
            for octave in 0..8 {
                let step = 1 << octave;
                sum += hash(x / step, y / step, octave * 4 + salt) * (octave + 1);
            }
            (sum / 36) as u8
        };
        image::Rgb([channel(0), channel(1), channel(2)])
    })
}

pub(crate) fn encoded(picture: &RgbImage, format: Format) -> Vec<u8> {
    let format = match format {
        Format::Jpeg => return jpeg(picture, 95, Subsamp::None),
        Format::Png => ImageFormat::Png,
        Format::Gif => ImageFormat::Gif,
        Format::WebP => ImageFormat::WebP,
        Format::Bmp => ImageFormat::Bmp,
        Format::Tiff => ImageFormat::Tiff,
    };
    write(&DynamicImage::ImageRgb8(picture.clone()), format)
}

pub(crate) fn write(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("it encodes");
    bytes.into_inner()
}

pub(crate) fn jpeg(picture: &RgbImage, quality: i32, subsampling: Subsamp) -> Vec<u8> {
    jpeg_with(picture, |compressor| {
        compressor.set_quality(quality)?;
        compressor.set_subsamp(subsampling)
    })
}

pub(crate) fn jpeg_with(
    picture: &RgbImage,
    set: impl FnOnce(&mut Compressor) -> turbojpeg::Result<()>,
) -> Vec<u8> {
    let mut compressor = Compressor::new().expect("a compressor");
    set(&mut compressor).expect("settings that exist");
    let image = Image {
        pixels: picture.as_raw().as_slice(),
        width: picture.width() as usize,
        pitch: 3 * picture.width() as usize,
        height: picture.height() as usize,
        format: PixelFormat::RGB,
    };
    compressor.compress_to_vec(image).expect("it encodes")
}

/// An Adobe JPEG in CMYK: ink stored inverted, as Photoshop does.
pub(crate) fn cmyk_jpeg(picture: &RgbImage) -> Vec<u8> {
    let ink: Vec<u8> = picture
        .pixels()
        .flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2], 255])
        .collect();
    let image = Image {
        pixels: ink.as_slice(),
        width: picture.width() as usize,
        pitch: 4 * picture.width() as usize,
        height: picture.height() as usize,
        format: PixelFormat::CMYK,
    };
    let mut compressor = Compressor::new().expect("a compressor");
    compressor.set_quality(95).expect("a quality");
    compressor
        .set_subsamp(Subsamp::None)
        .expect("a subsampling");
    compressor.compress_to_vec(image).expect("it encodes")
}

/// Minimal Exif: one directory with the orientation.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

/// The picture in a container that carries an orientation.
pub(crate) fn oriented(picture: &RgbImage, format: Format, orientation: u8) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    let mut bytes = Vec::new();
    match format {
        Format::Jpeg => {
            bytes = encoded(picture, format);
            let mut segment = vec![0xff, 0xe1];
            let body = [b"Exif\0\0".to_vec(), exif(orientation)].concat();
            segment.extend((body.len() as u16 + 2).to_be_bytes());
            segment.extend(body);
            bytes.splice(2..2, segment);
        }
        Format::Png => {
            let mut encoder = PngEncoder::new(&mut bytes);
            encoder.set_exif_metadata(exif(orientation)).expect("eXIf");
            encoder
                .write_image(picture, width, height, ExtendedColorType::Rgb8)
                .expect("it encodes");
        }
        Format::WebP => {
            let mut encoder = WebPEncoder::new_lossless(&mut bytes);
            encoder.set_exif_metadata(exif(orientation)).expect("EXIF");
            encoder
                .write_image(picture, width, height, ExtendedColorType::Rgb8)
                .expect("it encodes");
        }
        Format::Tiff => bytes = tiff(width, height, orientation, picture.as_raw()),
        Format::Gif | Format::Bmp => unreachable!("{format:?} has no orientation"),
    }
    bytes
}

/// An uncompressed RGB TIFF in one strip; the pixels may be fewer than it promises.
pub(crate) fn tiff(width: u32, height: u32, orientation: u8, pixels: &[u8]) -> Vec<u8> {
    let entries: [(u16, u16, u32, u32); 10] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, 8 + 2 + 120 + 4),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8 + 2 + 120 + 4 + 6),
        (274, 3, 1, u32::from(orientation)),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, width.wrapping_mul(height).wrapping_mul(3)),
    ];
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend(10_u16.to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend([8, 0, 8, 0, 8, 0]);
    bytes.extend(pixels);
    bytes
}

/// A PNG chunk with its checksum.
pub(crate) fn png_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = (body.len() as u32).to_be_bytes().to_vec();
    chunk.extend(kind);
    chunk.extend(body);
    let mut crc = u32::MAX;
    for byte in &chunk[4..] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    chunk.extend((!crc).to_be_bytes());
    chunk
}

/// The pixels of one of our renditions.
pub(crate) fn pixels(jpeg: &[u8]) -> RgbImage {
    let decoded = turbojpeg::decompress(jpeg, PixelFormat::RGB).expect("our own JPEG decodes");
    RgbImage::from_raw(decoded.width as u32, decoded.height as u32, decoded.pixels)
        .expect("rows without padding")
}

/// Mean difference of two pictures of one size, in grey levels.
pub(crate) fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let total: u64 = a
        .as_raw()
        .iter()
        .zip(b.as_raw())
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    total as f64 / a.as_raw().len() as f64
}
