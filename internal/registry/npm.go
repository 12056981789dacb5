package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// npm asks npm for its whole configuration: only it knows how its files, their variables and its defaults come
// together. "--global" leaves out every project's file. npm would otherwise write a log and look for a newer npm.
func (a Asker) npm(ctx context.Context) (endpoints, error) {
	out, err := a.ask(ctx, program{
		argv: []string{"npm", "config", "list", "--json", "--global", "--loglevel=error", "--color=false",
			"--logs-max=0", "--no-update-notifier"},
		passes: npmVariable,
	})
	if err != nil {
		return nil, err
	}
	config, err := parseNpm(out)
	if err != nil {
		return nil, err
	}
	for _, file := range config.files {
		if err := a.own(file); err != nil {
			return nil, fmt.Errorf("npm: %w", err)
		}
	}
	return config.found, nil
}

// npmVariable reports a variable that names a registry or a configuration file. npm reads the prefix in any case, and
// "_" as "-".
func npmVariable(key string) bool {
	const prefix = "npm_config_"
	if len(key) < len(prefix) || !strings.EqualFold(key[:len(prefix)], prefix) {
		return false
	}
	switch name := strings.ReplaceAll(strings.ToLower(key[len(prefix):]), "_", "-"); name {
	case "registry", "userconfig", "globalconfig", "prefix":
		return true
	default:
		return strings.HasPrefix(name, "@") && strings.HasSuffix(name, ":registry")
	}
}

type npmConfig struct {
	found endpoints
	files []string // where it comes from
}

// parseNpm reads what "npm config list --json" prints.
func parseNpm(out []byte) (npmConfig, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(out, &all); err != nil || all == nil {
		return npmConfig{}, errors.New("npm: its answer is not its configuration as JSON")
	}
	c := npmConfig{found: endpoints{}}
	if _, ok := all["registry"]; !ok {
		// lib/commands/config.js keeps to itself what holds a password.
		return npmConfig{}, errors.New("npm: it does not tell its registry, as when the URL holds a password")
	}
	for key, raw := range all {
		scoped := strings.HasPrefix(key, "@") && strings.HasSuffix(key, ":registry")
		file := key == "userconfig" || key == "globalconfig"
		if key != "registry" && !scoped && !file {
			continue
		}
		var value string
		if err := json.Unmarshal(raw, &value); err != nil {
			return npmConfig{}, fmt.Errorf("npm: its %s is not a text", setting(key))
		}
		if file {
			c.files = append(c.files, value)
			continue
		}
		if err := c.found.add(value, web); err != nil {
			if strings.Contains(value, "${") {
				return npmConfig{}, fmt.Errorf("npm: its %s needs a variable that is not passed on to it", setting(key))
			}
			return npmConfig{}, fmt.Errorf("npm: its %s is %w", setting(key), err)
		}
	}
	if len(c.found) == 0 {
		return npmConfig{}, errors.New("npm: its registry is a directory of this machine")
	}
	return c, nil
}

// setting is the name of a setting that a file may have made up.
func setting(key string) string {
	const longest = 80
	for i := range len(key) {
		if c := key[i]; !wordByte(c) && !strings.ContainsRune("@:.~", rune(c)) || i >= longest {
			return `"@SCOPE:registry"`
		}
	}
	return `"` + key + `"`
}
