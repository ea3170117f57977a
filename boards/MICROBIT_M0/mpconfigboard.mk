# How the image of MICROBIT_M0 (Cortex-M0) is built. Never says how it is run: quipu.json does.
SOC = nrf51
CPU_FLAGS = -mcpu=cortex-m0 -mfloat-abi=soft
GCHELPER = thumb1
MPY_CROSS_FLAGS += -march=armv6m
