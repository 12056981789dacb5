package vm

import (
	"bytes"
	"fmt"
)

// cpioArchive builds the initial RAM file system in the format "newc" of the
// kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
type cpioArchive struct {
	bytes.Buffer
	files int
}

const (
	cpioDir  = 0o040755
	cpioFile = 0o100755
)

func (a *cpioArchive) add(name string, mode int, content []byte) {
	a.files++
	fmt.Fprintf(a, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.files, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	a.align()
	a.Write(content)
	a.align()
}

func (a *cpioArchive) align() {
	for a.Len()%4 != 0 {
		a.WriteByte(0)
	}
}

func (a *cpioArchive) finish() []byte {
	a.add("TRAILER!!!", 0, nil)
	return a.Bytes()
}
