//! Files that mean harm: headers that promise too much, texts that inflate, bytes at random.

use std::fs;

use kumo_renderer::{Format, Pool, Reason};
use turbojpeg::Subsamp;

use crate::make::{
    encoded, jpeg, noise, png_chunk, pool, pool_with_limits, reason, render, scene, tiff,
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

fn png_header(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let mut header = width.to_be_bytes().to_vec();
    header.extend(height.to_be_bytes());
    header.extend([depth, colour, 0, 0, 0]);
    let data = png_chunk(b"IDAT", &[0x78, 0x9c, 0x63, 0, 0]);
    [PNG.to_vec(), png_chunk(b"IHDR", &header), data].concat()
}

fn gif_header(width: u16, height: u16) -> Vec<u8> {
    let mut gif = b"GIF89a".to_vec();
    gif.extend(width.to_le_bytes());
    gif.extend(height.to_le_bytes());
    gif.extend(b"\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0");
    gif.extend(width.to_le_bytes());
    gif.extend(height.to_le_bytes());
    gif.extend(b"\0\x02\x02\x44\x01\0\x3b");
    gif
}

fn bmp_header(width: i32, height: i32) -> Vec<u8> {
    let mut bmp = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend(width.to_le_bytes());
    bmp.extend(height.to_le_bytes());
    bmp.extend(b"\x01\0\x18\0");
    bmp.extend([0; 40]);
    bmp
}

/// A lossless WebP of 40 bytes.
fn webp_header(width: u32, height: u32) -> Vec<u8> {
    let bits = (width - 1) | ((height - 1) << 14);
    let mut webp = b"RIFF\x20\0\0\0WEBPVP8L\x14\0\0\0\x2f".to_vec();
    webp.extend(bits.to_le_bytes());
    webp.extend([0; 15]);
    webp
}

fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = jpeg(&scene(16, 16), 90, Subsamp::None);
    let frame = bytes
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .expect("a frame");
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

/// Most memory the children of this pool have ever held, MiB.
fn peak(pool: &Pool) -> u64 {
    let peaks = pool.children().into_iter().filter_map(|id| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    });
    peaks.max().unwrap_or(0) >> 10
}

#[tokio::test]
async fn headers_that_promise_too_much_are_refused_before_memory_is_taken() {
    let pool = pool();
    let bombs = [
        ("PNG side", png_header(60_000, 10, 8, 2)),
        ("PNG area", png_header(20_000, 20_000, 8, 2)),
        ("GIF", gif_header(65_535, 65_535)),
        ("BMP", bmp_header(30_000, 30_000)),
        ("BMP upside down", bmp_header(30_000, -30_000)),
        ("WebP", webp_header(16_000, 16_000)),
        ("JPEG", jpeg_header(65_500, 65_500)),
        ("TIFF", tiff(60_000, 60_000, 1, &[0; 64])),
    ];
    for (name, bomb) in bombs {
        let answer = reason(render(&pool, &bomb).await);
        assert_eq!(answer, Reason::DimensionsTooLarge, "{name}");
    }
    let peak = peak(&pool);
    assert!(peak < 32, "{peak} MiB for pictures that were refused");
}

#[tokio::test]
async fn pictures_within_the_limits_but_beyond_the_memory_are_refused() {
    let pool = pool();
    for (name, bomb) in [
        ("PNG of 16 bits", png_header(12_000, 12_000, 16, 6)),
        ("RGBA of 150 Mpx", png_header(12_200, 12_200, 8, 6)),
        ("GIF", gif_header(12_200, 12_200)),
    ] {
        let answer = render(&pool, &bomb).await;
        let text = format!("{answer:?}");
        let reason = reason(answer);
        assert!(
            matches!(
                reason,
                Reason::OutOfMemory | Reason::Truncated | Reason::Corrupt
            ),
            "{name}: {text}"
        );
    }
    // A progressive JPEG needs all its coefficients at once.
    let bytes = crate::make::jpeg_with(&noise(3000, 3000, 1), |it| it.set_progressive(true));
    let tight = pool_with_limits(|limits| limits.memory_bytes = 90 << 20);
    assert_eq!(reason(render(&tight, &bytes).await), Reason::OutOfMemory);
    render(&pool, &bytes).await.expect("renders with room");
}

#[tokio::test]
async fn too_many_bytes_are_refused_whether_announced_or_not() {
    let pool = pool_with_limits(|limits| limits.file_bytes = 1 << 20);
    let bytes = vec![0; (1 << 20) + 1];
    assert_eq!(reason(render(&pool, &bytes).await), Reason::TooLarge);
    let job = kumo_renderer::Job {
        label: "a liar".to_owned(),
        source: kumo_renderer::Source::Reader {
            reader: Box::new(std::io::Cursor::new(bytes)),
            size_hint: 10,
        },
        wanted: kumo_renderer::Wanted::ALL,
    };
    assert_eq!(reason(pool.render(job).await), Reason::TooLarge);
    render(&pool, &encoded(&scene(64, 48), Format::Png))
        .await
        .expect("still in step");
}

#[tokio::test]
async fn an_inflating_profile_does_not_inflate() {
    // 64 MiB of zeros, deflated: stored as one iCCP chunk.
    let mut deflated = vec![0x78, 0x01];
    for block in 0..1024 {
        deflated.push(u8::from(block == 1023));
        deflated.extend(0xffff_u16.to_le_bytes());
        deflated.extend(0_u16.to_le_bytes());
        deflated.extend([0; 0xffff]);
    }
    let mut body = b"profile\0\0".to_vec();
    body.extend(deflated);
    let plain = encoded(&scene(64, 48), Format::Png);
    let after_header = 8 + 25;
    let mut bytes = plain[..after_header].to_vec();
    bytes.extend(png_chunk(b"iCCP", &body));
    bytes.extend(&plain[after_header..]);
    let pool = pool();
    render(&pool, &bytes).await.expect("the picture is there");
}

/// xorshift: the same mutations every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

fn mutate(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.roll(8) {
        let at = dice.roll(bytes.len());
        match dice.roll(5) {
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.roll(5)],
            2 => bytes.truncate(at.max(1)),
            3 => {
                let copy = bytes[at..(at + 16).min(bytes.len())].to_vec();
                let to = dice.roll(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                // The first bytes are where the structure is.
                let early = dice.roll(bytes.len().min(64));
                bytes[early] = dice.roll(256) as u8;
            }
        }
    }
    bytes
}

#[tokio::test]
async fn random_damage_is_always_answered_and_never_harms_the_pool() {
    let pool = pool();
    let picture = noise(48, 32, 7);
    let mut dice = Dice(0x5eed_0000_cafe);
    for format in Format::ALL {
        let whole = encoded(&picture, format);
        let (mut rendered, mut refused) = (0, 0);
        for round in 0..200 {
            match render(&pool, &mutate(&whole, &mut dice)).await {
                Ok(_) => rendered += 1,
                Err(error) => {
                    let reason = error.reason();
                    assert!(reason.is_some(), "{format:?} {round}: {error}");
                    refused += 1;
                }
            }
        }
        println!("{format:?}: {rendered} rendered, {refused} refused");
        assert!(refused > 0);
        render(&pool, &whole)
            .await
            .expect("the whole picture still renders");
    }
    assert!(peak(&pool) < 640);
}
