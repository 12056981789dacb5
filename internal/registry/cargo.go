package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// cargo reads the files of $CARGO_HOME: no command of cargo prints what they come to. The registry that cargo uses
// when nothing names one is known only from what cargo has kept of it.
func (a Asker) cargo(context.Context) (endpoints, error) {
	home := a.variable("CARGO_HOME")
	if home == "" {
		home = filepath.Join(a.Home, ".cargo")
	}
	if !filepath.IsAbs(home) {
		return nil, errors.New("cargo: CARGO_HOME is not an absolute path")
	}
	config, err := a.cargoConfig(home)
	if err != nil {
		return nil, fmt.Errorf("cargo: %w", err)
	}
	if err := config.override(a.Env); err != nil {
		return nil, fmt.Errorf("cargo: %w", err)
	}
	found, byDefault, err := config.endpoints()
	if err != nil {
		return nil, fmt.Errorf("cargo: %w", err)
	}
	indexes, err := a.indexes(filepath.Join(home, "registry", "index"))
	if err != nil {
		return nil, fmt.Errorf("cargo: %w", err)
	}
	if err := addIndexes(found, indexes, byDefault); err != nil {
		return nil, fmt.Errorf("cargo: %w", err)
	}
	switch {
	case len(found) > 0:
		return found, nil
	case byDefault:
		return nil, errors.New("cargo: its configuration names no registry, and it has not used one yet; list the hosts")
	}
	return nil, errors.New("cargo: it is set to use only directories of this machine")
}

// cargoConfig reads the one of two files that cargo would: of both it takes the one without an extension.
func (a Asker) cargoConfig(home string) (cargoConfig, error) {
	for _, name := range []string{"config", "config.toml"} {
		path := filepath.Join(home, name)
		data, err := a.read(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return cargoConfig{}, err
		}
		c, err := parseCargo(string(data))
		if err != nil {
			return cargoConfig{}, fmt.Errorf("%s: %w", printable(path), err)
		}
		return c, nil
	}
	return cargoConfig{}, a.own(home)
}

// read reads a file of the person's that is not large.
func (a Asker) read(path string) ([]byte, error) {
	if err := a.own(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", printable(path))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxOutput+1))
	if err == nil && len(data) > maxOutput {
		err = fmt.Errorf("%s is too large", printable(path))
	}
	return data, err
}

// override takes the variables CARGO_REGISTRIES_NAME_INDEX, which count more than the files do. In them a name is in
// capitals, with "_" for "-".
func (c *cargoConfig) override(env []string) error {
	for _, line := range env {
		key, value, _ := strings.Cut(line, "=")
		name, ok := strings.CutPrefix(key, "CARGO_REGISTRIES_")
		name, isIndex := strings.CutSuffix(name, "_INDEX")
		if !ok || !isIndex || name == "" {
			continue
		}
		if value == "" {
			return fmt.Errorf("%s is empty", printable(key))
		}
		if c.registries == nil {
			c.registries = map[string]string{}
		}
		known := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		for registry := range c.registries {
			if strings.ToUpper(strings.ReplaceAll(registry, "-", "_")) == name {
				known = registry
			}
		}
		c.registries[known] = value
	}
	return nil
}
