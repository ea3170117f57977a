// Runs Python code in MicroPython's WebAssembly port, under node. Takes {module, files, code} as JSON on standard input:
// the port's module, the files it is to see (text by absolute path), the code. Never knows what the code is about.

import { readFileSync } from "node:fs";

const { module, files, code } = JSON.parse(readFileSync(0, "utf8"));
const { loadMicroPython } = await import(module);
const python = await loadMicroPython({ heapsize: 4 * 1024 * 1024, stdout: (line) => console.log(line) });
for (const [path, text] of Object.entries(files)) {
    const folders = path.split("/").slice(1, -1);
    for (let i = 1; i <= folders.length; i++) {
        const folder = "/" + folders.slice(0, i).join("/");
        if (!python.FS.analyzePath(folder).exists) {
            python.FS.mkdir(folder);
        }
    }
    python.FS.writeFile(path, text);
}
python.runPython(code);
