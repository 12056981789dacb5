package cgroup

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Figures are what the files of a group say, by name.
type Figures struct {
	Dir   string            `json:"dir"`
	Files map[string]string `json:"files"`
	Error string            `json:"error,omitempty"`
}

// maxFigure bounds what is read of one file.
const maxFigure = 64 << 10

// ReadFigures reads every file of the groups that can be read, with all limits and counters of their controllers.
func ReadFigures(dirs []string) []Figures {
	list := []Figures{}
	for _, dir := range dirs {
		f := Figures{Dir: dir, Files: map[string]string{}}
		entries, err := os.ReadDir(dir)
		if err != nil {
			f.Error = err.Error()
		}
		for _, e := range entries {
			if text, ok := figure(filepath.Join(dir, e.Name())); ok && e.Type().IsRegular() {
				f.Files[e.Name()] = text
			}
		}
		list = append(list, f)
	}
	return list
}

// figure reads a file. Those that can only be written, and those that the kernel does not answer, are left out.
func figure(path string) (string, bool) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o444 == 0 {
		return "", false
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFigure))
	return strings.TrimSuffix(string(data), "\n"), err == nil
}
