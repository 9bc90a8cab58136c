//! The texture of photographs, for pictures made by formula.

/// Noise with as much in the coarse as in the fine, as photographs have: about -2 to 2.
pub(crate) fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let value = |x: u32, y: u32, octave: u32| {
        let mut state = x
            .wrapping_mul(0x9e37_79b1)
            .wrapping_add(y.wrapping_mul(0x85eb_ca77))
            .wrapping_add((seed * 31 + octave).wrapping_mul(0xc2b2_ae3d));
        state = (state ^ (state >> 15)).wrapping_mul(0x2c1b_3c6d);
        state = (state ^ (state >> 12)).wrapping_mul(0x297a_2d39);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (1..8)
        .map(|octave| {
            let cells = (1 << octave) as f32;
            let (left, top) = ((x * cells) as u32, (y * cells) as u32);
            let (fx, fy) = (x * cells - left as f32, y * cells - top as f32);
            let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
            let upper = mix(value(left, top, octave), value(left + 1, top, octave), fx);
            let lower = mix(
                value(left, top + 1, octave),
                value(left + 1, top + 1, octave),
                fx,
            );
            mix(upper, lower, fy) * 0.9 / (octave as f32).sqrt()
        })
        .sum()
}
