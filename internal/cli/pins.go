package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A pin is one file that a person trusts, as long as its content stays what it was.
type pin struct {
	SHA256 string    `json:"sha256"`
	Since  time.Time `json:"since"`
}

// pins is the list of trusted files, by absolute path without links.
type pins struct {
	Version int            `json:"version"`
	Files   map[string]pin `json:"files"`
}

const (
	pinsVersion = 1
	pinsFile    = "trust.json"
	maxPins     = 4 << 20
)

// trusts reports whether exactly these bytes at this path were trusted. The zero value trusts nothing.
func (p pins) trusts(f *sourceFile) bool {
	have, ok := p.Files[f.path]
	return ok && have.SHA256 == digest(f.data)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// stateDir is agentbox's own directory in the person's state.
func stateDir(getenv func(string) string, home string) string {
	base := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) {
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "agentbox")
}

// readPins reads the list. A list that another user could have written, or that cannot be read, is an error: an
// answer "trusts nothing" would be safe, but would hide what happened to it.
func readPins(dir string) (pins, error) {
	path := filepath.Join(dir, pinsFile)
	err := private(dir, unix.S_IFDIR)
	if err == nil {
		err = private(path, unix.S_IFREG)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return pins{}, nil
	}
	if err != nil {
		return pins{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return pins{}, err
	}
	var p pins
	if len(data) > maxPins || json.Unmarshal(data, &p) != nil || p.Version != pinsVersion {
		return pins{}, fmt.Errorf("%s is not a list of trusted files; remove it and trust the files again", path)
	}
	return p, nil
}

// private refuses what another user owns or may write, and symbolic links.
func private(path string, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != kind:
		return fmt.Errorf("%s is not what agentbox keeps there; remove it", path)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, not to user %d", path, st.Uid, os.Geteuid())
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s may be written by other users; run chmod go-w on it", path)
	}
	return nil
}

// changePins changes the list under a lock and replaces it in one step.
func changePins(dir string, change func(*pins)) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, pinsFile+".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	p, err := readPins(dir)
	if err != nil {
		return err
	}
	if p.Files == nil {
		p = pins{Version: pinsVersion, Files: map[string]pin{}}
	}
	change(&p)
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, pinsFile), append(data, '\n'), 0o600)
}

// replaceFile puts a file in the place of another, in one step for whoever reads it.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
