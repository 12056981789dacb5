package workspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Layers are the directories of a session's overlay.
type Layers struct{ Upper, Work string }

// record is what a session keeps about its workspace.
type record struct {
	Lower   string    `json:"lower"`
	Flavour Flavour   `json:"flavour"`
	Began   time.Time `json:"began"`
}

// Begin makes what a new overlay needs in a session's directory. It is called
// before the overlay is mounted; what the host changes from then on is a conflict.
func Begin(session, lower string, f Flavour) (Layers, error) {
	l, err := makeLayers(session, lower)
	if err != nil {
		return l, fmt.Errorf("workspace: %w", err)
	}
	data, err := json.Marshal(record{lower, f, time.Now()})
	if err == nil {
		err = os.WriteFile(filepath.Join(session, recordName), data, 0o600)
	}
	if err != nil {
		return l, fmt.Errorf("workspace: %w", err)
	}
	return l, nil
}

// Persist puts what Begin made on disk. Until then a power cut may take it, so the agent must not run before. It is
// apart because it can run while the box is being made.
func Persist(session string) error {
	for _, name := range []string{filepath.Join(session, recordName), session, filepath.Dir(session)} {
		f, err := os.Open(name)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return fmt.Errorf("workspace: %w", err)
		}
	}
	return nil
}

// Load gives the configuration of a session's workspace, without what the profile
// and the caller add: rules, base and owner.
func Load(session string) (Config, error) {
	d, err := openDir(session)
	if err != nil {
		return Config{}, fmt.Errorf("workspace: %w", err)
	}
	defer d.close()
	var r record
	found, err := readJSON(d, recordName, &r)
	if err == nil && !found {
		err = errors.New("the session has no overlay")
	}
	if err != nil {
		return Config{}, fmt.Errorf("workspace: %w", err)
	}
	return Config{Lower: r.Lower, Upper: LayersOf(session).Upper, State: session, Flavour: r.Flavour, Began: r.Began}, nil
}

// makeLayers makes the two directories. The upper one gets the project's mode,
// because an overlay shows its upper root.
func makeLayers(session, lower string) (Layers, error) {
	l := LayersOf(session)
	fi, err := os.Stat(lower)
	if err != nil {
		return l, err
	}
	for _, d := range []string{l.Upper, l.Work} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return l, err
		}
	}
	return l, os.Chmod(l.Upper, fi.Mode().Perm())
}

// LayersOf gives the directories of a session's overlay, for a session that starts
// again on them.
func LayersOf(session string) Layers {
	return Layers{Upper: filepath.Join(session, upperName), Work: filepath.Join(session, workName)}
}

// MountOptions are the options of an overlay that Review can read. "nofollow" and
// not "off": a kernel built with OVERLAY_FS_REDIRECT_ALWAYS_FOLLOW takes "off" for
// "make none, but follow what is there", and userxattr refuses that.
func MountOptions(f Flavour) []string {
	options := []string{"redirect_dir=nofollow", "metacopy=off", "index=off", "xino=off"}
	if f == User {
		options = append(options, "userxattr")
	}
	return options
}

// EscapeLayer writes a directory so that it can stand in lowerdir=, upperdir= or
// workdir= of a mount option string.
func EscapeLayer(path string) string {
	return strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace(path)
}
