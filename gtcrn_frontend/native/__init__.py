"""C library: GTCRN with its STFT, resampling and automatic strength, usable without Python.

- `gtcrn.h`: the public C API; `model.h`: layout of weights and states;
- `network.h`: the network, from `temporal_block.h`, `dual_path.h`, `gru.h` and `layers.h`; `fft.h`: the FFT;
  `simd.h`: vector types;
- `kernel.c`: all of these for one hop, compiled once per instruction set; `dispatch.c` selects one;
- `model.c`: models and streams; `path.c`: chunks of any length; `parallel.c`: threads; `resample.h`, `resample.c`: the
  resampler; `auto_strength.h`, `auto_strength.c`: `strength="auto"` for any engine;
- `binding.py`: the cffi binding; `engines/native.py` is the engine that uses it.
"""
