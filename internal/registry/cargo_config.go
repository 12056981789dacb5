package registry

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// defaultSource is cargo's own name for the registry that it uses when nothing names one.
const defaultSource = "crates-io"

// A cargoConfig is what cargo's file says of registries.
type cargoConfig struct {
	sources    map[string]cargoSource
	registries map[string]string // name to index
}

// A cargoSource is where packages of one name are kept, or which other source has them.
type cargoSource struct {
	replaceWith string
	url         string
	local       bool
}

// parseCargo reads a configuration file. toml's errors are not wrapped: they quote the file, which may hold tokens.
// Maps are decoded, and no structs, since toml would match their keys in any case.
func parseCargo(text string) (cargoConfig, error) {
	var all map[string]any
	if _, err := toml.Decode(text, &all); err != nil {
		if at := (toml.ParseError{}); errors.As(err, &at) {
			return cargoConfig{}, fmt.Errorf("line %d is not TOML", at.Position.Line)
		}
		return cargoConfig{}, errors.New("it is not TOML")
	}
	if _, ok := all["include"]; ok {
		return cargoConfig{}, errors.New("it includes other files, which are not read; list the hosts")
	}
	c := cargoConfig{sources: map[string]cargoSource{}, registries: map[string]string{}}
	err := eachTable(all, "source", func(name string, t map[string]any) (err error) {
		c.sources[name], err = parseSource(t)
		return err
	})
	if err != nil {
		return cargoConfig{}, err
	}
	err = eachTable(all, "registries", func(name string, t map[string]any) error {
		index, err := textOf(t, "index")
		if err == nil && index != "" { // without one the variable may have it
			c.registries[name] = index
		}
		return err
	})
	return c, err
}

func eachTable(all map[string]any, key string, visit func(string, map[string]any) error) error {
	value, ok := all[key]
	if !ok {
		return nil
	}
	tables, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%q is not a table", key)
	}
	for name, value := range tables {
		t, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not a table", entry(key, name))
		}
		if err := visit(name, t); err != nil {
			return fmt.Errorf("%s: %w", entry(key, name), err)
		}
	}
	return nil
}

func textOf(t map[string]any, key string) (string, error) {
	value, ok := t[key]
	if !ok {
		return "", nil
	}
	text, ok := value.(string)
	if !ok || text == "" {
		return "", fmt.Errorf("%q is not a text", key)
	}
	return text, nil
}

func parseSource(t map[string]any) (s cargoSource, err error) {
	if s.replaceWith, err = textOf(t, "replace-with"); err != nil {
		return cargoSource{}, err
	}
	for _, key := range []string{"registry", "git"} {
		text, err := textOf(t, key)
		if err != nil {
			return cargoSource{}, err
		}
		if text != "" && s.url != "" {
			return cargoSource{}, errors.New(`it has both "registry" and "git"`)
		}
		s.url += text
	}
	_, directory := t["directory"]
	_, registry := t["local-registry"]
	s.local = directory || registry
	return s, nil
}

// endpoints follows the replacements of the default registry and of those that the configuration names. byDefault
// says that the default registry is not replaced.
func (c cargoConfig) endpoints() (found endpoints, byDefault bool, err error) {
	found = endpoints{}
	byDefault, err = c.follow(found, defaultSource)
	for name, index := range c.registries {
		if err != nil {
			return nil, false, err
		}
		err = c.addRegistry(found, name, index)
	}
	return found, byDefault, err
}

// addRegistry adds a registry, or what replaces the source that has its URL.
func (c cargoConfig) addRegistry(found endpoints, name, index string) error {
	for source, s := range c.sources {
		if s.url != index || s.replaceWith == "" {
			continue
		}
		_, err := c.follow(found, source)
		return err
	}
	return addCargoURL(found, entry("registries", name), index)
}

// follow adds what a source comes to. It reports that this is the default registry, of which no more is known here.
func (c cargoConfig) follow(found endpoints, name string) (byDefault bool, err error) {
	first := name
	for range len(c.sources) + 1 {
		s := c.sources[name]
		switch index, isRegistry := c.registries[name]; {
		case s.replaceWith != "":
			name = s.replaceWith
		case s.url != "":
			return false, addCargoURL(found, entry("source", name), s.url)
		case s.local:
			return false, nil
		case isRegistry:
			return false, addCargoURL(found, entry("registries", name), index)
		case name == defaultSource:
			return true, nil
		default:
			return false, fmt.Errorf("there is no %s, which is to replace another", entry("source", name))
		}
	}
	return false, fmt.Errorf("the replacements of %s go round in a circle", entry("source", first))
}

// addCargoURL takes a URL with or without cargo's word for the protocol before it.
func addCargoURL(found endpoints, name, text string) error {
	for _, kind := range []string{"sparse+", "registry+"} {
		text = strings.TrimPrefix(text, kind)
	}
	if err := found.add(text, webAndSSH); err != nil {
		return fmt.Errorf("%s is %w", name, err)
	}
	return nil
}

// entry is the name of a table that a file may have made up.
func entry(table, name string) string {
	for i := range len(name) {
		if !wordByte(name[i]) || i >= maxLine {
			return table + ".NAME"
		}
	}
	return table + "." + name
}
