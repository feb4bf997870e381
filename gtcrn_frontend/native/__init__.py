"""C library: GTCRN with its STFT, resampling, mixing and automatic strength, usable without Python.

- `gtcrn.h`: the public C API; `enhancer.c` implements it, on the layout of `enhancer.h`;
- `signal_path.c`: one channel from input to output; `strength.c`: its ramps and mix; `state.h`, `export_state.c`,
  `import_state.c`: saved states; `parallel.c`: threads;
- `resample.c`, `filters.c`: filters of the resampler, which the enhancers of a model share; `auto_strength.c`:
  `strength="auto"`;
- `engine.h`: the network on hops; `model.h`, `model.c`: layout of weights and states;
- `network.h`: the network, from `temporal_block.h`, `dual_path.h`, `gru.h` and `layers.h`; `fft.h`: the FFT;
  `simd.h`: vector types;
- `kernel.c`: all of these for one hop, and the resampler's sums, compiled once per instruction set; `dispatch.c`
  selects one;
- `binding.py`: the cffi binding; `enhancer.py`, `model.py`, `filter.py`, `auto_strength.py`: what Python calls. Nothing
  outside of this folder knows cffi.
"""
