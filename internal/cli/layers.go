package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/profile"
)

// systemDir holds the profiles of this machine; userDir, below the configuration home, those of a person.
const (
	systemDir   = "/etc/agentbox"
	userDir     = "agentbox"
	namedDir    = "profiles"
	commonFile  = "profile.toml"
	projectFile = "agentbox.toml"
)

// A loader finds the layers of a profile. Files that lie in the workspace are not trusted, wherever they were named,
// unless their content is pinned.
type loader struct {
	home   string // the person's
	dir    string // the working directory
	config string // agentbox's directory in the person's configuration
	system string
	state  string // where the pins are
	pins   pins
	from   map[string]string // names in extends → the directory of the file that wrote them
	ws     string            // the workspace, without links
	usual  string            // the preset that goes under layers without one
}

// A loaded profile is merged and checked, but no fact of the host has been looked at.
type loaded struct {
	name      string // what `ps` shows
	byCommand bool   // the preset was picked by the command's name
	workspace string
	effective *profile.Effective
	findings  profile.Findings
	project   *sourceFile // ./agentbox.toml, nil when there is none
}

// A fileLayer is a layer that is a file.
type fileLayer struct {
	kind profile.Kind
	file *sourceFile
}

// load merges the profile's layers: preset, system, user, named, project, flags.
func (l *loader) load(o profileOptions) (loaded, error) {
	l.usual = cmp.Or(o.agent, "default")
	out := loaded{name: l.usual}
	preset := ""
	files, err := l.commonFiles()
	if err != nil {
		return out, err
	}
	switch {
	case o.profile == "":
	case slices.Contains(profile.Presets(), o.profile):
		preset, out.name = o.profile, o.profile
	default:
		named, err := l.named(o.profile)
		if err != nil {
			return out, err
		}
		files, out.name = append(files, fileLayer{profile.Named, named}), o.profile
	}
	l.settle(preset, files, o.workspace)
	out.workspace = l.ws
	if out.project, err = l.project(); err != nil {
		return out, err
	}
	files = slices.DeleteFunc(files, func(f fileLayer) bool { return out.project != nil && f.file.path == out.project.path })
	if out.project != nil {
		files = append(files, fileLayer{profile.Project, out.project})
	}
	out.effective, out.findings = l.merge(preset, files, o.flags)
	out.byCommand = o.profile == "" && o.agent != "" && slices.Contains(out.effective.Layers, "preset "+o.agent)
	if o.profile == "" && !out.byCommand {
		out.name = "default"
	}
	out.findings = append(out.findings, profile.Check(out.effective)...)
	if out.project != nil && l.path(out.effective) != l.ws {
		key := out.effective.Origins["workspace.path"]
		out.findings = append(out.findings, profile.Finding{File: key.Layer, Key: "workspace.path", Line: key.Line, Col: key.Col,
			Message: "a project's file cannot move the workspace away from the project"})
	}
	return out, nil
}

// commonFiles reads the profiles that apply to every run.
func (l *loader) commonFiles() ([]fileLayer, error) {
	var out []fileLayer
	for kind, dir := range map[profile.Kind]string{profile.System: l.system, profile.User: l.config} {
		f, err := readProfile(filepath.Join(dir, commonFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, unreadable(err)
		}
		out = append(out, fileLayer{kind, f})
	}
	slices.SortFunc(out, func(a, b fileLayer) int { return int(a.kind) - int(b.kind) })
	return out, nil
}

// settle decides which directory is the workspace before anything in it is read, and so which files are trusted. A
// file that lies in the workspace as the layers below it have it does not get to move it.
func (l *loader) settle(preset string, files []fileLayer, asked string) {
	l.ws = resolve(l.dir)
	if asked != "" {
		l.ws = resolve(asked)
		return
	}
	for n := range files {
		effective, _ := l.merge(preset, files[:n+1], nil)
		if path := l.path(effective); path != l.ws && !reachedThrough(files[n].file, l.ws) {
			l.ws = path
		}
	}
}

func (l *loader) path(e *profile.Effective) string {
	return resolve(expandHome(e.Profile.Workspace.Path, l.home, l.dir))
}

// project reads the workspace's own file.
func (l *loader) project() (*sourceFile, error) {
	f, err := readProject(l.ws, projectFile)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR): // that the workspace is none is for the planner to say
		return nil, nil
	case err != nil:
		return nil, unreadable(err)
	}
	return f, nil
}

// unreadable is a profile that cannot be read, as a finding.
func unreadable(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return profile.Findings{{File: path.Path, Message: path.Err.Error()}}
	}
	return profile.Findings{{Message: err.Error()}}
}

// merge lays the layers over one another. Without a preset at the bottom of any of them there would be no masks, so
// the usual preset goes under layers that extend none.
func (l *loader) merge(preset string, files []fileLayer, flags []profile.Layer) (*profile.Effective, profile.Findings) {
	l.from = map[string]string{}
	var layers []profile.Layer
	extends := false
	for _, f := range files {
		layer := l.layer(f)
		layers = append(layers, layer)
		extends = l.note(layer, f.file) || extends
	}
	layers = append(layers, flags...)
	if preset == "" && extends {
		effective, findings := profile.Merge(layers, l.lookup)
		if slices.ContainsFunc(effective.Layers, func(name string) bool { return strings.HasPrefix(name, "preset ") }) {
			return effective, findings
		}
	}
	if preset == "" {
		preset = l.usual
	}
	bottom, _ := profile.Preset(preset)
	return profile.Merge(append([]profile.Layer{bottom}, layers...), l.lookup)
}

// layer decides whether a file is trusted.
func (l *loader) layer(f fileLayer) profile.Layer {
	out := profile.Layer{Name: f.file.name, Kind: f.kind, Data: f.file.data}
	if f.kind == profile.Project {
		out.Name = projectFile
	}
	out.Trusted = f.kind != profile.Project && !reachedThrough(f.file, l.ws) || l.pinned(f.file)
	return out
}

// pinned reports whether a person trusts these bytes. A list that lies in the workspace is the agent's to write.
func (l *loader) pinned(f *sourceFile) bool {
	return !inside(resolve(l.state), l.ws) && l.pins.trusts(f)
}

// note remembers the directory from which a file's extends are meant, and reports whether a trusted one has any.
func (l *loader) note(layer profile.Layer, f *sourceFile) bool {
	if !layer.Trusted {
		return false
	}
	doc, _ := profile.Parse(layer)
	for _, name := range doc.Extends() {
		if _, ok := l.from[name]; !ok {
			l.from[name] = filepath.Dir(f.path)
		} else if isPath(name) && l.from[name] != filepath.Dir(f.path) {
			l.from[name] = "" // two files mean different things by it
		}
	}
	return len(doc.Extends()) > 0
}

// isPath tells a file from the name of a profile.
func isPath(name string) bool { return strings.Contains(name, "/") || strings.HasSuffix(name, ".toml") }

var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// lookup answers an entry of extends that is not a preset.
func (l *loader) lookup(name string) (profile.Layer, error) {
	var f *sourceFile
	var err error
	if isPath(name) {
		base := l.from[name]
		if base == "" {
			return profile.Layer{}, fmt.Errorf("%q means different files in two profiles; write the full path", name)
		}
		f, err = readProfile(expandHome(name, l.home, base))
	} else {
		f, err = l.byName(name)
	}
	if err != nil {
		return profile.Layer{}, err
	}
	layer := l.layer(fileLayer{profile.Named, f})
	l.note(layer, f)
	return layer, nil
}

// named reads what --profile names.
func (l *loader) named(name string) (*sourceFile, error) {
	if !isPath(name) {
		f, err := l.byName(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &usageError{msg: err.Error(), hint: l.nameHint(name)}
		}
		if err != nil {
			return nil, unreadable(err)
		}
		return f, nil
	}
	f, err := readProfile(expandHome(name, l.home, l.dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &usageError{msg: fmt.Sprintf("--profile %s: there is no such file", name)}
	}
	if err != nil {
		return nil, unreadable(err)
	}
	f.name = name
	return f, nil
}

func (l *loader) nameHint(name string) string {
	if near := nearest(name, profile.Presets()); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("the presets are %s; a file is written with a slash, ./%s", strings.Join(profile.Presets(), ", "), name)
}

// byName finds a profile in the person's directory, then in the system's.
func (l *loader) byName(name string) (*sourceFile, error) {
	if !profileName.MatchString(name) {
		return nil, fmt.Errorf("%q is not the name of a profile: %w", name, fs.ErrNotExist)
	}
	for _, dir := range []string{l.config, l.system} {
		f, err := readProfile(filepath.Join(dir, namedDir, name+".toml"))
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, &unknownProfile{name}
}

// An unknownProfile is a name that stands for no preset and no file.
type unknownProfile struct{ name string }

func (e *unknownProfile) Error() string { return fmt.Sprintf("there is no profile %q", e.name) }
func (e *unknownProfile) Is(target error) bool {
	return target == fs.ErrNotExist
}
