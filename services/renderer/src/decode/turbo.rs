//! libjpeg-turbo's decoder behind a safe door.
//!
//! The `turbojpeg` crate's own one tells a warning from a failure by nothing but its text, and a
//! warning (a JPEG cut short) is the difference between a partial picture and none; it also sets
//! no bound on memory. So this speaks to the C interface beneath it.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use turbojpeg::raw;

/// Layouts of decoded pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Grey,
    Rgb,
    Cmyk,
}

impl Layout {
    /// Bytes a pixel.
    pub(super) fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }

    fn code(self) -> c_int {
        match self {
            Self::Grey => raw::TJPF_TJPF_GRAY,
            Self::Rgb => raw::TJPF_TJPF_RGB,
            Self::Cmyk => raw::TJPF_TJPF_CMYK,
        }
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// How its colours are to be decoded.
    pub(super) layout: Layout,
    /// Bits a sample; only 8 can be decoded here.
    pub(super) precision: u32,
    pub(super) lossless: bool,
}

/// A message of libjpeg-turbo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message(pub(super) String);

/// One decoder, for one picture.
#[derive(Debug)]
pub(super) struct Turbo<'a> {
    handle: NonNull<std::ffi::c_void>,
    jpeg: &'a [u8],
    /// Denominator of the scale set, a power of two up to 8.
    denominator: u32,
}

impl<'a> Turbo<'a> {
    pub(super) fn new(jpeg: &'a [u8]) -> Result<Self, Message> {
        // SAFETY: takes no pointers; a null answer is checked.
        let handle = unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS.cast_signed()) };
        let handle = NonNull::new(handle.cast())
            .ok_or_else(|| Message("not enough memory for a decoder".to_owned()))?;
        Ok(Self {
            handle,
            jpeg,
            denominator: 1,
        })
    }

    /// Reads the header; the message is a warning in it, if there was one.
    pub(super) fn header(&mut self) -> Result<(Header, Option<Message>), Message> {
        // SAFETY: the handle is live, and pointer and length are those of one slice.
        let result = unsafe {
            raw::tj3DecompressHeader(
                self.handle.as_ptr(),
                self.jpeg.as_ptr(),
                self.jpeg.len() as raw::size_t,
            )
        };
        let warning = self.outcome(result)?;
        let side = |value: c_int| u32::try_from(value).unwrap_or(0);
        let layout = match self.get(raw::TJPARAM_TJPARAM_COLORSPACE) as raw::TJCS {
            raw::TJCS_TJCS_GRAY => Layout::Grey,
            raw::TJCS_TJCS_CMYK | raw::TJCS_TJCS_YCCK => Layout::Cmyk,
            _ => Layout::Rgb,
        };
        let header = Header {
            width: side(self.get(raw::TJPARAM_TJPARAM_JPEGWIDTH)),
            height: side(self.get(raw::TJPARAM_TJPARAM_JPEGHEIGHT)),
            layout,
            precision: side(self.get(raw::TJPARAM_TJPARAM_PRECISION)),
            lossless: self.get(raw::TJPARAM_TJPARAM_LOSSLESS) == 1,
        };
        Ok((header, warning))
    }

    /// Bounds the decoder: bytes of its own memory (a progressive JPEG needs all coefficients at
    /// once), and scans, each of which may cost as much as the whole picture.
    pub(super) fn bound(&mut self, memory: u64, scans: i32) -> Result<(), Message> {
        let mebibytes = c_int::try_from(memory >> 20).unwrap_or(c_int::MAX).max(1);
        self.set(raw::TJPARAM_TJPARAM_MAXMEMORY, mebibytes)?;
        self.set(raw::TJPARAM_TJPARAM_SCANLIMIT, scans)
    }

    /// Scales by 1/`denominator` while decoding: 1, 2, 4 or 8.
    pub(super) fn scale(&mut self, denominator: u32) -> Result<(), Message> {
        let factor = raw::tjscalingfactor {
            num: 1,
            denom: denominator.min(8).cast_signed(),
        };
        // SAFETY: the handle is live; the factor is passed by value.
        let result = unsafe { raw::tj3SetScalingFactor(self.handle.as_ptr(), factor) };
        self.outcome(result)?;
        self.denominator = denominator;
        Ok(())
    }

    /// Decodes into `pixels`, which must have exactly the scaled size of `header` in its layout.
    /// A message in the answer is a warning: there are pixels, but maybe not all of them.
    pub(super) fn decode(
        &mut self,
        header: Header,
        pixels: &mut [u8],
    ) -> Result<Option<Message>, Message> {
        let width = header.width.div_ceil(self.denominator) as usize;
        let height = header.height.div_ceil(self.denominator) as usize;
        let pitch = width * header.layout.channels();
        assert_eq!(pixels.len(), pitch * height, "the buffer fits the header");
        // SAFETY: the handle is live; the JPEG is the very slice whose header gave the
        // dimensions, and the buffer holds the scaled height times the pitch, asserted above.
        let result = unsafe {
            raw::tj3Decompress8(
                self.handle.as_ptr(),
                self.jpeg.as_ptr(),
                self.jpeg.len() as raw::size_t,
                pixels.as_mut_ptr(),
                0, // rows without padding
                header.layout.code(),
            )
        };
        self.outcome(result)
    }

    fn get(&mut self, parameter: raw::TJPARAM) -> c_int {
        // SAFETY: the handle is live; an unknown parameter answers -1.
        unsafe { raw::tj3Get(self.handle.as_ptr(), parameter.cast_signed()) }
    }

    fn set(&mut self, parameter: raw::TJPARAM, value: c_int) -> Result<(), Message> {
        // SAFETY: the handle is live; a value out of range answers -1.
        let result = unsafe { raw::tj3Set(self.handle.as_ptr(), parameter.cast_signed(), value) };
        self.outcome(result).map(|_| ())
    }

    /// Sorts a result code into done, done with a warning, and failed.
    fn outcome(&mut self, result: c_int) -> Result<Option<Message>, Message> {
        if result == 0 {
            return Ok(None);
        }
        // SAFETY: the handle is live, and the text it returns is terminated and stays valid until
        // the next call on this handle; it is copied at once.
        let (text, code) = unsafe {
            let text = CStr::from_ptr(raw::tj3GetErrorStr(self.handle.as_ptr()));
            let code = raw::tj3GetErrorCode(self.handle.as_ptr());
            (text.to_string_lossy().into_owned(), code)
        };
        if code == raw::TJERR_TJERR_WARNING.cast_signed() {
            Ok(Some(Message(text)))
        } else {
            Err(Message(text))
        }
    }
}

impl Drop for Turbo<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle came from tj3Init and is destroyed once.
        unsafe { raw::tj3Destroy(self.handle.as_ptr()) };
    }
}
