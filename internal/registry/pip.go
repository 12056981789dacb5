package registry

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// pipScript is "pip config list" in an interpreter that has first been asked for the index that pip uses when nothing
// names one. Both print lines of one form; pip's own keys have a dot.
const pipScript = `
import importlib.util, runpy, sys
if importlib.util.find_spec("pip") is None:
    sys.exit("it has no module pip")
try:
    from pip._internal.models.index import PyPI
    print("default-index=%r\ndefault-files=%r" % (str(PyPI.simple_url), "https://" + str(PyPI.file_storage_domain)))
except Exception:
    pass
sys.argv = ["pip", "config", "list"]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
`

var pipVariables = []string{"INDEX_URL", "PYPI_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CONFIG_FILE"}

// pip asks the pip of python3. What a configuration file may say beside indexes must not matter: PIP_QUIET and
// PIP_VERBOSE would change the answer, and "python" run another interpreter, which pip leaves to one that it started.
func (a Asker) pip(ctx context.Context) (endpoints, error) {
	files := []string{a.Home + "/.pip/pip.conf", a.Home + "/.config/pip/pip.conf"}
	if dir := a.variable("XDG_CONFIG_HOME"); dir != "" {
		files = append(files, filepath.Join(dir, "pip/pip.conf"))
	}
	for _, file := range files {
		if err := a.own(file); err != nil {
			return nil, fmt.Errorf("pip: %w", err)
		}
	}
	out, err := a.ask(ctx, program{
		argv:   []string{"python3", "-I", "-B", "-c", pipScript},
		passes: pipVariable,
		env: []string{"PIP_QUIET=0", "PIP_VERBOSE=0", "PIP_NO_INPUT=1", "PIP_DISABLE_PIP_VERSION_CHECK=1",
			"_PIP_RUNNING_IN_SUBPROCESS=1"},
	})
	if err != nil {
		return nil, fmt.Errorf("pip: %w", err)
	}
	config, err := parsePip(out)
	if err != nil {
		return nil, err
	}
	return config.endpoints()
}

func pipVariable(key string) bool {
	name, ok := strings.CutPrefix(key, "PIP_")
	return key == "XDG_CONFIG_HOME" || ok && slices.Contains(pipVariables, strings.ToUpper(name))
}

// pipConfig has the values of "SECTION.KEY".
type pipConfig map[string]string

// parsePip reads lines of a key and a text as Python writes it.
func parsePip(out []byte) (pipConfig, error) {
	config := pipConfig{}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		key, quoted, _ := strings.Cut(line, "=")
		value, ok := unquotePython(quoted)
		if !ok {
			return nil, errors.New("pip: its answer is not a list of its configuration")
		}
		config[key] = value
	}
	return config, nil
}

// pipCommands get packages, each with a section of its own.
var pipCommands = []string{"install", "download", "wheel", "lock"}

// endpoints puts the sections together as each command does.
func (c pipConfig) endpoints() (endpoints, error) {
	found := endpoints{}
	for _, command := range pipCommands {
		if err := c.add(found, command); err != nil {
			return nil, fmt.Errorf("pip: %w", err)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("pip: it is set to use no index but directories of this machine")
	}
	return found, nil
}

func (c pipConfig) add(found endpoints, command string) error {
	for i, link := range strings.Fields(c.value(command, "find-links")) {
		if err := addIndex(found, link); err != nil {
			return fmt.Errorf("entry %d of its find-links is %w", i+1, err)
		}
	}
	switch text := strings.ToLower(c.value(command, "no-index")); text {
	case "y", "yes", "t", "true", "on", "1":
		return nil
	case "", "n", "no", "f", "false", "off", "0":
	default:
		return errors.New("its no-index is neither true nor false")
	}
	for i, index := range strings.Fields(c.value(command, "extra-index-url")) {
		if err := addIndex(found, index); err != nil {
			return fmt.Errorf("entry %d of its extra-index-url is %w", i+1, err)
		}
	}
	index := c.value(command, "index-url", "pypi-url")
	if index == "" {
		if index = c["default-index"]; index == "" {
			return errors.New("no index is configured, and it does not tell the one that it uses then")
		}
	}
	if err := addIndex(found, index); err != nil {
		return fmt.Errorf("its index-url is %w", err)
	}
	return c.addFiles(found)
}

// addFiles adds the host of the files that pip's own index links, where that index is used.
func (c pipConfig) addFiles(found endpoints) error {
	own, err := parseURL(c["default-index"], web)
	if err != nil || !found[own] || c["default-files"] == "" {
		return nil
	}
	if err := found.add(c["default-files"], web); err != nil {
		return fmt.Errorf("the host of its own index's files is %w", err)
	}
	return nil
}

// value is what counts for a command, of an option with one or two names. pip ignores empty values.
func (c pipConfig) value(command string, names ...string) string {
	for _, section := range []string{":env:", command, "global"} {
		for _, name := range names {
			if v := c[section+"."+name]; v != "" {
				return v
			}
		}
	}
	return ""
}

// addIndex takes a URL, or a path, which is no endpoint.
func addIndex(found endpoints, text string) error {
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") || strings.HasPrefix(text, "~") {
		return nil
	}
	return found.add(text, web)
}
