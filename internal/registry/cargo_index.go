package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An index is what cargo keeps of a registry that it has used, in a directory "HOST-HASH".
type index struct {
	host     string
	sparse   bool     // it is served file by file, and says where the packages are
	download Endpoint // where the packages are; zero: not known, or this machine
	dl       string   // the same, whole, by which two directories are known to be one registry's
}

// indexes reads what cargo keeps.
func (a Asker) indexes(dir string) ([]index, error) {
	if err := a.own(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []index
	for _, e := range entries {
		host, ok := indexHost(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		path := filepath.Join(dir, e.Name(), "config.json")
		data, err := a.read(path)
		if errors.Is(err, os.ErrNotExist) {
			list = append(list, index{host: host})
			continue
		}
		if err != nil {
			return nil, err
		}
		i, err := parseIndex(host, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", printable(path), err)
		}
		list = append(list, i)
	}
	return list, nil
}

// indexHost is the host that a directory is named for. A name without one stands for a file URL.
func indexHost(name string) (string, bool) {
	at := strings.LastIndexByte(name, '-')
	if at <= 0 || len(name)-at-1 != 16 || strings.Trim(name[at+1:], "0123456789abcdef") != "" {
		return "", false
	}
	return normalHost(name[:at])
}

// parseIndex reads an index's config.json (The Cargo Book, "Index Format"). Its "dl" may have words in braces, though
// none in the host.
func parseIndex(host string, data []byte) (index, error) {
	var config struct {
		DL *string `json:"dl"`
	}
	if err := json.Unmarshal(data, &config); err != nil || config.DL == nil {
		return index{}, errors.New(`it is not JSON with a "dl"`)
	}
	i := index{host: host, sparse: true, dl: *config.DL}
	var err error
	if i.download, err = parseURL(i.dl, web); err != nil && !errors.Is(err, errLocal) {
		return index{}, fmt.Errorf(`its "dl" is %w`, err)
	}
	return i, nil
}

// addIndexes adds where the packages of the configured registries are, and, where the default registry is used, that
// one: the only registry that is kept and not configured. Old versions of cargo fetched a whole index by Git, often
// from a host that has much else; what they left does not count beside an index of the new kind.
func addIndexes(found endpoints, indexes []index, byDefault bool) error {
	configured := map[string]bool{}
	for e := range found {
		configured[e.Host] = true
	}
	var others []index
	for _, i := range indexes {
		if !configured[i.host] {
			others = append(others, i)
		} else {
			i.add(found)
		}
	}
	if !byDefault {
		return nil
	}
	if slices.ContainsFunc(others, func(i index) bool { return i.sparse }) {
		others = slices.DeleteFunc(others, func(i index) bool { return !i.sparse })
	}
	for _, i := range others {
		// Versions of cargo differ in the hash, so that one registry may have several directories.
		if first := others[0]; i.dl != first.dl || i.host != first.host {
			return fmt.Errorf("it has used %s and %s, and which is its default is not known; list the hosts", first.host, i.host)
		}
	}
	for _, i := range others {
		found[Endpoint{Host: i.host, Port: web["https"]}] = true
		i.add(found)
	}
	return nil
}

func (i index) add(found endpoints) {
	if i.download != (Endpoint{}) {
		found[i.download] = true
	}
}
