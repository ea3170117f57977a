# How the image of MPS2_AN385 (Cortex-M3) is built. Never says how it is run: quipu.json does.
SOC = mps2
CPU_FLAGS = -mcpu=cortex-m3 -mfloat-abi=soft
GCHELPER = thumb2
MPY_CROSS_FLAGS += -march=armv7m
