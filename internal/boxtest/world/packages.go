package world

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// What the registries offer: a package that says hello.
const (
	PackageName    = "greeter"
	PackageVersion = "1.2.3"
)

// NPM serves a registry of npm with the package PackageName, whose program is "greet".
func NPM() http.Handler {
	archive, err := npmArchive()
	file := "/" + PackageName + "/-/" + PackageName + "-" + PackageVersion + ".tgz"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+PackageName, func(w http.ResponseWriter, r *http.Request) {
		sum1, sum512 := sha1.Sum(archive), sha512.Sum512(archive)
		version := map[string]any{"name": PackageName, "version": PackageVersion, "bin": map[string]string{"greet": "greet.js"},
			"dist": map[string]string{"tarball": origin(r) + file, "shasum": hex.EncodeToString(sum1[:]),
				"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum512[:])}}
		writeJSON(w, http.StatusOK, map[string]any{"name": PackageName, "dist-tags": map[string]string{"latest": PackageVersion},
			"versions": map[string]any{PackageVersion: version}})
	})
	mux.HandleFunc("GET "+file, func(w http.ResponseWriter, r *http.Request) { w.Write(archive) })
	return orError(mux, err)
}

func npmArchive() ([]byte, error) {
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	archive := tar.NewWriter(compressed)
	var errs []error
	for _, file := range []struct{ name, text string }{
		{"package/package.json", `{"name": "` + PackageName + `", "version": "` + PackageVersion + `", "bin": {"greet": "greet.js"}}`},
		{"package/greet.js", "#!/usr/bin/env node\nconsole.log('hello from npm')\n"},
	} {
		errs = append(errs, archive.WriteHeader(&tar.Header{Name: file.name, Mode: 0o755, Size: int64(len(file.text))}))
		_, err := archive.Write([]byte(file.text))
		errs = append(errs, err)
	}
	errs = append(errs, archive.Close(), compressed.Close())
	return out.Bytes(), errors.Join(errs...)
}

// PyPI serves a simple index of Python packages, below /simple/, with a wheel of PackageName, whose module has the same
// name and a function greet.
func PyPI() http.Handler {
	wheel, err := pythonWheel()
	file := PackageName + "-" + PackageVersion + "-py3-none-any.whl"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /simple/"+PackageName+"/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!DOCTYPE html><html><body><a href=\"/files/%s#sha256=%x\">%[1]s</a></body></html>\n", file, sha256.Sum256(wheel))
	})
	mux.HandleFunc("GET /files/"+file, func(w http.ResponseWriter, r *http.Request) { w.Write(wheel) })
	return orError(mux, err)
}

func pythonWheel() ([]byte, error) {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	info := PackageName + "-" + PackageVersion + ".dist-info/"
	var record strings.Builder
	var errs []error
	add := func(name, text string) {
		f, err := archive.Create(name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		errs = append(errs, err)
		sum := sha256.Sum256([]byte(text))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(text))
	}
	add(PackageName+".py", "def greet():\n    return 'hello from pip'\n")
	add(info+"METADATA", "Metadata-Version: 2.1\nName: "+PackageName+"\nVersion: "+PackageVersion+"\n")
	add(info+"WHEEL", "Wheel-Version: 1.0\nGenerator: world\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
	add(info+"RECORD", record.String()+info+"RECORD,,\n")
	errs = append(errs, archive.Close())
	return out.Bytes(), errors.Join(errs...)
}

// origin is the scheme and host that the client used.
func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

// orError is a handler, or, if it could not be made, one that says why.
func orError(handler http.Handler, err error) http.Handler {
	if err == nil {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	})
}
