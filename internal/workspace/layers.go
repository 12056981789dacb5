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

// Persist notes what git has staged in the project, and puts what Begin made on disk. Until then a power cut may take it, so the agent must not run before. It is
// apart because it can run while the box is being made.
func Persist(session string) error {
	names, err := persistOne(session, "")
	if git := GitState(session); err == nil && exists(git) {
		var more []string
		more, err = persistOne(git, gitAs)
		names = append(more, names...)
	}
	if err != nil {
		return fmt.Errorf("workspace: %w", err)
	}
	for _, name := range names {
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

// persistOne notes what git has staged, unless an earlier session on the same layers did, and names what must be on disk.
func persistOne(state, as string) ([]string, error) {
	names := []string{filepath.Join(state, recordName), state, filepath.Dir(state)}
	notes := filepath.Join(state, indexesName)
	if exists(notes) {
		return append([]string{notes}, names...), nil
	}
	c, err := Load(state)
	if err != nil {
		return nil, err
	}
	indexes, err := noteIndexes(c.Lower, as)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(indexes)
	if err == nil {
		err = os.WriteFile(notes, data, 0o600)
	}
	return append([]string{notes}, names...), err
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
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

// GitState gives the directory, in a session's, for a git directory that lies
// outside the project: what the agent writes there has an overlay of its own.
func GitState(session string) string { return filepath.Join(session, gitName) }

// BeginGit makes in a session's directory what the overlay of a git directory
// outside the project needs. It is called after Begin. A session that starts again
// has it, and then it must be of the same git directory.
func BeginGit(session, lower string, f Flavour) error {
	state := GitState(session)
	err := os.Mkdir(state, 0o700)
	if errors.Is(err, os.ErrExist) {
		was, err := Load(state)
		if err == nil && was.Lower != lower {
			err = fmt.Errorf("the session's git directory is %s, and the workspace's is now %s", quote(was.Lower), quote(lower))
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("workspace: %w", err)
	}
	_, err = Begin(state, lower, f)
	return err
}

// LoadGit is Load for the git directory outside the project; nil where there is none.
func LoadGit(session string) (*Config, error) {
	state := GitState(session)
	if !exists(state) {
		return nil, nil
	}
	c, err := Load(state)
	return &c, err
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
