package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

var goVariables = []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOENV", "GOPRIVATE", "XDG_CONFIG_HOME"}

// golang asks go where it gets modules and their checksums. A toolchain that go.env names is not fetched for it.
func (a Asker) golang(ctx context.Context) (endpoints, error) {
	out, err := a.ask(ctx, program{
		argv:   []string{"go", "env", "-json", "GOPROXY", "GOSUMDB", "GOENV"},
		passes: func(key string) bool { return slices.Contains(goVariables, key) },
		env:    []string{"GOFLAGS=", "GOWORK=off", "GO111MODULE=on", "GOTOOLCHAIN=local"},
	})
	if err != nil {
		return nil, err
	}
	var config struct{ GOPROXY, GOSUMDB, GOENV string }
	if err := json.Unmarshal(out, &config); err != nil {
		return nil, errors.New("go: its answer is not its environment as JSON")
	}
	if err := a.own(config.GOENV); err != nil {
		return nil, fmt.Errorf("go: %w", err)
	}
	found := endpoints{}
	if err := errors.Join(addGoproxy(found, config.GOPROXY), addGosumdb(found, config.GOSUMDB)); err != nil {
		return nil, fmt.Errorf("go: %w", err)
	}
	if len(found) == 0 {
		return nil, errors.New("go: its GOPROXY and GOSUMDB name no host")
	}
	return found, nil
}

// addGoproxy reads a list as cmd/go/internal/modfetch/proxy.go does: it ends at "off" and at "direct", and what looks
// like a host gets a scheme.
func addGoproxy(found endpoints, list string) error {
	entries := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '|' })
	for i, text := range entries {
		text = strings.TrimSpace(text)
		switch {
		case text == "":
			continue
		case text == "off" || text == "direct":
			return nil
		case strings.ContainsAny(text, ".:/") && !strings.Contains(text, ":/") && !filepath.IsAbs(text):
			text = "https://" + text
		}
		if err := found.add(text, web); err != nil {
			return fmt.Errorf("entry %d of GOPROXY is %w", i+1, err)
		}
	}
	return nil
}

// addGosumdb reads "NAME", "NAME+HASH+KEY", either with a URL after it, or "off", as cmd/go/internal/modfetch/sumdb.go
// does. The name is that of a host, with or without a path.
func addGosumdb(found endpoints, text string) error {
	fields := strings.Fields(text)
	if len(fields) == 1 && fields[0] == "off" || len(fields) == 0 {
		return nil
	}
	if len(fields) > 2 {
		return errors.New("GOSUMDB has more than a name and a URL")
	}
	if len(fields) == 2 {
		if err := found.add(fields[1], web); err != nil {
			return fmt.Errorf("the URL in GOSUMDB is %w", err)
		}
		return nil
	}
	name, _, _ := strings.Cut(fields[0], "+")
	u, err := url.Parse("https://" + name)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || found.add("https://"+name, web) != nil {
		return errors.New("GOSUMDB does not begin with a host")
	}
	return nil
}
