# How the image of MPS2_AN386 (Cortex-M4) is built. Never says how it is run: quipu.json does.
SOC = mps2
CPU_FLAGS = -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard
HARD_FLOAT = 1
GCHELPER = thumb2
MPY_CROSS_FLAGS += -march=armv7emsp
