//! The C library from Rust: enhances raw float32 audio, mono at 48 kHz, from stdin to stdout.
//!
//!     native_rs weights.bin < noisy.f32 > enhanced.f32
//!
//! weights.bin is written by: python -m gtcrn_frontend.weights.pack gtcrn-asr weights.bin
//! Build (docs/engines.md shows the whole):
//!
//!     cc -std=gnu11 -O3 -ffp-contract=fast -march=native -DGTCRN_SINGLE -fPIC -shared gtcrn_frontend/native/*.c \
//!         -lm -pthread -o libgtcrn.so
//!     rustc --edition 2021 -O examples/native.rs -L . -l gtcrn -C link-arg=-Wl,-rpath,'$ORIGIN' -o native_rs

use std::ffi::{c_char, c_int, c_void, CStr};
use std::io::{Read, Write};

/// The declarations of gtcrn.h that this program needs; bindgen makes them all.
mod ffi {
    use super::*;

    #[repr(C)]
    pub struct AutoSettings([f64; 6]);

    #[repr(C)]
    pub struct Settings {
        pub sample_rate: u32,
        pub output_sample_rate: u32,
        pub channels: u32,
        pub downmix: u32,
        pub bypass: u32,
        pub strength: f64,
        pub auto_strength: AutoSettings,
    }

    #[link(name = "gtcrn")]
    extern "C" {
        pub fn gtcrn_api_version() -> c_int;
        pub fn gtcrn_model_load(
            weights: *const c_void,
            bytes: usize,
            isa: *const c_char,
            error: *mut *const c_char,
        ) -> *mut c_void;
        pub fn gtcrn_model_free(model: *mut c_void);
        pub fn gtcrn_settings_init(settings: *mut Settings);
        pub fn gtcrn_enhancer_new(
            model: *mut c_void,
            settings: *const Settings,
            error: *mut *const c_char,
        ) -> *mut c_void;
        pub fn gtcrn_enhancer_free(enhancer: *mut c_void);
        pub fn gtcrn_enhancer_due(enhancer: *const c_void, frames: usize) -> i64;
        pub fn gtcrn_enhancer_rest(enhancer: *const c_void) -> i64;
        pub fn gtcrn_enhancer_push(
            enhancer: *mut c_void,
            input: *const f32,
            frames: usize,
            output: *mut f32,
            room: usize,
        ) -> i64;
        pub fn gtcrn_enhancer_finish(enhancer: *mut c_void, output: *mut f32, room: usize) -> i64;
    }
}

const API_VERSION: c_int = 2;

/// One mono stream.
struct Enhancer(*mut c_void);

impl Enhancer {
    fn new(weights: &[u8], sample_rate: u32) -> Result<Self, String> {
        let mut error: *const c_char = std::ptr::null();
        let mut settings = std::mem::MaybeUninit::uninit();
        unsafe {
            if ffi::gtcrn_api_version() != API_VERSION {
                return Err("the library has another version than these declarations".into());
            }
            let model =
                ffi::gtcrn_model_load(weights.as_ptr().cast(), weights.len(), std::ptr::null(), &mut error);
            if model.is_null() {
                return Err(CStr::from_ptr(error).to_string_lossy().into_owned());
            }
            ffi::gtcrn_settings_init(settings.as_mut_ptr());
            let mut settings = settings.assume_init();
            settings.sample_rate = sample_rate;
            settings.output_sample_rate = sample_rate;
            let enhancer = ffi::gtcrn_enhancer_new(model, &settings, &mut error);
            ffi::gtcrn_model_free(model); // it lives as long as its enhancers
            if enhancer.is_null() {
                return Err(CStr::from_ptr(error).to_string_lossy().into_owned());
            }
            Ok(Self(enhancer))
        }
    }

    /// Returns the complete enhanced samples.
    fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>, String> {
        let mut output = vec![0.0; unsafe { ffi::gtcrn_enhancer_due(self.0, samples.len()) } as usize];
        let written = unsafe {
            ffi::gtcrn_enhancer_push(self.0, samples.as_ptr(), samples.len(), output.as_mut_ptr(), output.len())
        };
        if written < 0 {
            return Err(format!("expected finite samples within +-8 (error {written})"));
        }
        Ok(output)
    }

    /// Returns the remaining samples.
    fn finish(&mut self) -> Vec<f32> {
        let mut output = vec![0.0; unsafe { ffi::gtcrn_enhancer_rest(self.0) } as usize];
        unsafe { ffi::gtcrn_enhancer_finish(self.0, output.as_mut_ptr(), output.len()) };
        output
    }
}

impl Drop for Enhancer {
    fn drop(&mut self) {
        unsafe { ffi::gtcrn_enhancer_free(self.0) }
    }
}

fn bytes_of(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: native_rs weights.bin < noisy.f32 > enhanced.f32")?;
    let mut enhancer = Enhancer::new(&std::fs::read(path)?, 48_000)?;
    let mut noisy = Vec::new();
    std::io::stdin().read_to_end(&mut noisy)?;
    let samples: Vec<f32> = noisy.chunks_exact(4).map(|b| f32::from_ne_bytes(b.try_into().unwrap())).collect();
    let mut stdout = std::io::stdout().lock();
    for chunk in samples.chunks(480) {
        stdout.write_all(&bytes_of(&enhancer.push(chunk)?))?;
    }
    stdout.write_all(&bytes_of(&enhancer.finish()))?;
    Ok(())
}
