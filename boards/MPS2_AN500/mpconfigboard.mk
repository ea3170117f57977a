# How the image of MPS2_AN500 (Cortex-M7) is built. Never says how it is run: quipu.json does.
SOC = mps2
CPU_FLAGS = -mcpu=cortex-m7 -mfpu=fpv5-sp-d16 -mfloat-abi=hard
HARD_FLOAT = 1
GCHELPER = thumb2
MPY_CROSS_FLAGS += -march=armv7emsp
