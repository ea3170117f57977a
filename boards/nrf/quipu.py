# What an nRF board's image with Quipu freezes, for its manifest.py to include. Drivers out of
# micropython-lib are not among it. Never lists single files of Quipu.
module("_mkfs.py", opt=3)
module("filesystem.py", base_path="..", opt=3)
include("$(MPY_DIR)/extmod/asyncio")
package("shared_kernel", base_path="../..")
package("quipu", base_path="../../firmware")
