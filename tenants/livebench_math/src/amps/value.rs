//! Values of formulae at points of the complex plane, and whether two formulae are the same function.

use super::latex::{Formula, Function};
use num_complex::Complex64;

/// At how many points two formulae are compared.
const POINTS: u64 = 20;

/// How far two values may be apart, as a share of the larger: what rounding does to formulae of this length.
const RELATIVE: f64 = 1e-9;

/// How far two constants may be apart.
const ABSOLUTE: f64 = 1e-3;

/// Whether two formulae have the same values wherever both are defined, or differ by a constant below a thousandth.
///
/// The points lie all around zero: `\sqrt{x^2}` is not `x`. Formulae without a value at any of them are not the same.
pub(crate) fn equal(a: &Formula, b: &Formula) -> bool {
    let mut first_difference = None;
    let (mut same, mut constant) = (true, true);
    for point in 0..POINTS {
        let (Some(left), Some(right)) = (value(a, point), value(b, point)) else { continue };
        let difference = left - right;
        let scale = left.norm().max(right.norm());
        same &= difference.norm() <= RELATIVE * scale;
        let first = *first_difference.get_or_insert(difference);
        constant &= difference.norm() < ABSOLUTE && (difference - first).norm() <= RELATIVE * scale.max(1.0);
        if !same && !constant {
            return false;
        }
    }
    first_difference.is_some()
}

/// The value at a point, where there is a finite one.
fn value(formula: &Formula, point: u64) -> Option<Complex64> {
    let of = |formula: &Formula| value(formula, point);
    let value = match formula {
        Formula::Number(number) => Complex64::new(*number, 0.0),
        Formula::Unknown(name) => coordinate(name, point),
        Formula::Sum(a, b) => of(a)? + of(b)?,
        Formula::Product(a, b) => of(a)? * of(b)?,
        Formula::Quotient(a, b) => of(a)? / of(b)?,
        Formula::Power(a, b) => power(of(a)?, of(b)?),
        Formula::Negative(a) => -of(a)?,
        Formula::Function(function, a) => apply(*function, of(a)?),
    };
    value.is_finite().then_some(value)
}

fn power(base: Complex64, exponent: Complex64) -> Complex64 {
    if exponent.im == 0.0 && exponent.re == exponent.re.trunc() && exponent.re.abs() <= 1_000.0 {
        return base.powi(exponent.re as i32);
    }
    if base == Complex64::ZERO {
        return if exponent.re > 0.0 { Complex64::ZERO } else { Complex64::new(f64::NAN, 0.0) };
    }
    // The principal value. A negative real has the angle of half a turn, whichever sign its zero has.
    let upright = if base.im == 0.0 { Complex64::new(base.re, 0.0) } else { base };
    (exponent * upright.ln()).exp()
}

fn apply(function: Function, x: Complex64) -> Complex64 {
    let one = Complex64::ONE;
    match function {
        Function::Sin => x.sin(),
        Function::Cos => x.cos(),
        Function::Tan => x.tan(),
        Function::Sec => one / x.cos(),
        Function::Csc => one / x.sin(),
        Function::Cot => one / x.tan(),
        Function::Arcsin => x.asin(),
        Function::Arccos => x.acos(),
        Function::Arctan => x.atan(),
        Function::Sinh => x.sinh(),
        Function::Cosh => x.cosh(),
        Function::Tanh => x.tanh(),
        Function::Exp => x.exp(),
        Function::Log => x.ln(),
        Function::Abs => Complex64::new(x.norm(), 0.0),
    }
}

/// Where an unknown stands at a point: the same on each machine, within a ring around zero, apart from any other's.
fn coordinate(name: &str, point: u64) -> Complex64 {
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ point, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    Complex64::from_polar(0.4 + 0.9 * draw(), std::f64::consts::TAU * draw())
}
