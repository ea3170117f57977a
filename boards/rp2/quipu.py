# What an RP2 board's image with Quipu freezes, for its manifest.py to include. Drivers out of
# micropython-lib (neopixel, dht and the like) are not among it: a source package without that
# library must do. Never lists single files of Quipu.
module("_boot.py", opt=3)
module("filesystem.py", base_path="..", opt=3)
module("rp2.py", base_path="$(PORT_DIR)/modules", opt=3)
include("$(MPY_DIR)/extmod/asyncio")
package("shared_kernel", base_path="../..")
package("quipu", base_path="../../firmware")
