"""What needs a checkout or a compiler: firmware images, native modules, the emulator that runs
them."""
