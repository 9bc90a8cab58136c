//! Decoding samples. A decoder without C code is enough here, because the bytes are our own: what
//! comes from outside is decoded in the renderer and nowhere else.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Picture, check_size};
use crate::error::{Error, Result};

/// Decodes a JPEG into `picture`, reusing its memory; leaves it empty after an error.
pub(super) fn jpeg(bytes: &[u8], picture: &mut Picture) -> Result<()> {
    let mut rgb = std::mem::take(&mut picture.rgb);
    *picture = Picture::default();
    // Strict: a truncated sample is an error, not a picture with a grey half.
    let options = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let damaged = |cause| Error::picture(format!("the sample is not a sound JPEG: {cause:?}"));
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    check_size(side(width), side(height))?;
    let length = width * height * 3;
    if decoder.output_buffer_size() != Some(length) {
        return Err(Error::picture("the sample does not decode to RGB"));
    }
    rgb.resize(length, 0);
    decoder.decode_into(&mut rgb).map_err(damaged)?;
    *picture = Picture {
        width: side(width),
        height: side(height),
        rgb,
    };
    Ok(())
}
