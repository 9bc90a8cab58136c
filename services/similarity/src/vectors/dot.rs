//! The dot product of a query with a stored vector of halves.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use half::f16;

/// Bytes that come from memory together.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Of as many numbers as both have; `row` holds little-endian binary16.
pub(crate) fn dot(row: &[u8], query: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("avx2")
    {
        // SAFETY: this processor was just seen to have what the function is compiled for.
        return unsafe { wide::dot(row, query) };
    }
    portable(row, query)
}

/// Asks for something that will be needed soon, so that the memory works while something else is done.
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(LINE) {
        // SAFETY: a hint; it reads nothing, and the address is that of one of the bytes.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

fn portable(row: &[u8], query: &[f32]) -> f32 {
    row.as_chunks::<2>()
        .0
        .iter()
        .zip(query)
        .map(|(bytes, asked)| f16::from_le_bytes(*bytes).to_f32() * asked)
        .sum()
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m128i, __m256, _mm_loadu_si128, _mm256_add_ps, _mm256_cvtph_ps, _mm256_fmadd_ps,
        _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::portable;

    /// Numbers that one register holds.
    const STEP: usize = 8;

    #[target_feature(enable = "avx2,f16c,fma")]
    pub(super) fn dot(row: &[u8], query: &[f32]) -> f32 {
        let (rows, row_rest) = row.as_chunks::<{ 2 * STEP }>();
        let (queries, query_rest) = query.as_chunks::<STEP>();
        // Four sums, because one waits for its last addition.
        let mut sums = [_mm256_setzero_ps(); 4];
        for (index, (row, query)) in rows.iter().zip(queries).enumerate() {
            let sum = &mut sums[index % 4];
            *sum = step(row, query, *sum);
        }
        let [a, b, c, d] = sums;
        let sum = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
        let mut lanes = [0.0; STEP];
        // SAFETY: the array has room for the eight numbers of a register; no alignment is asked.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        lanes.iter().sum::<f32>() + portable(row_rest, query_rest)
    }

    #[target_feature(enable = "avx2,f16c,fma")]
    fn step(row: &[u8; 2 * STEP], query: &[f32; STEP], sum: __m256) -> __m256 {
        // SAFETY: both arrays are as large as what is read; no alignment is asked.
        let (row, query) = unsafe {
            (
                _mm_loadu_si128(row.as_ptr().cast::<__m128i>()),
                _mm256_loadu_ps(query.as_ptr()),
            )
        };
        _mm256_fmadd_ps(_mm256_cvtph_ps(row), query, sum)
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::*;

    use super::{dot, portable};

    proptest! {
        #[test]
        fn every_processor_gets_the_same_product(
            values in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..600),
        ) {
            let row: Vec<u8> = values
                .iter()
                .flat_map(|(value, _)| f16::from_f32(*value).to_le_bytes())
                .collect();
            let query: Vec<f32> = values.iter().map(|(_, asked)| *asked).collect();
            let exact: f64 = values
                .iter()
                .map(|(value, asked)| f16::from_f32(*value).to_f64() * f64::from(*asked))
                .sum();
            prop_assert!((f64::from(dot(&row, &query)) - exact).abs() < 1e-4);
            prop_assert!((f64::from(portable(&row, &query)) - exact).abs() < 1e-4);
        }
    }
}
