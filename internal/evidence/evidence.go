// Package evidence writes a bundle: documents about one session in a tar archive, compressed with zstd, and the SHA-256 of
// each.
//
// Everything lies in one directory. The last two members are manifest.json, which says of each document what it is, how
// long it is and what it hashes to, and of each one that is missing why; and SHA256SUMS, which covers the manifest as well
// and is in the form that sha256sum(1) checks. Whoever notes the hash of the whole file can show later that it is the same.
//
// The package does not know where documents come from. What they hold is for its caller to escape and to cut secrets from.
package evidence

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"path"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Version is that of the manifest.
const Version = 1

// The members that Close writes.
const (
	ManifestFile = "manifest.json"
	SumsFile     = "SHA256SUMS"
)

// A Manifest says what a bundle holds.
type Manifest struct {
	Version   int       `json:"version"`
	Session   string    `json:"session"`
	Agentbox  string    `json:"agentbox"` // the version that made the bundle
	Made      time.Time `json:"made"`
	State     string    `json:"state"`  // of the session meanwhile
	Moment    string    `json:"moment"` // whether the documents are of one moment, in words
	Documents []Entry   `json:"documents"`
	Missing   []Lack    `json:"missing"`
}

// An Entry is a document.
type Entry struct {
	Name   string `json:"name"`
	What   string `json:"what"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// A Lack is a document that could not be made, or not whole.
type Lack struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// A Bundle is being written. After the first error that writing gives, every further call returns it.
type Bundle struct {
	manifest Manifest
	dir      string
	whole    hash.Hash
	zst      *zstd.Encoder
	tar      *tar.Writer
	err      error
}

// New begins a bundle. head is what its manifest says beside the documents.
func New(w io.Writer, head Manifest) (*Bundle, error) {
	head.Version, head.Documents, head.Missing = Version, []Entry{}, []Lack{}
	b := &Bundle{manifest: head, dir: "evidence-" + head.Session, whole: sha256.New()}
	var err error
	if b.zst, err = zstd.NewWriter(io.MultiWriter(w, b.whole), zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, err
	}
	b.tar = tar.NewWriter(b.zst)
	return b, nil
}

// Add adds a document.
func (b *Bundle) Add(name, what string, data []byte) error {
	return b.Copy(name, what, bytes.NewReader(data), int64(len(data)))
}

// Copy adds a document of a known size. A reader that gives less is an error, and the bundle is lost.
func (b *Bundle) Copy(name, what string, r io.Reader, size int64) error {
	sum, err := b.member(name, r, size)
	if err == nil {
		b.manifest.Documents = append(b.manifest.Documents, Entry{Name: name, What: what, Bytes: size, SHA256: hex.EncodeToString(sum)})
	}
	return err
}

// Lacks notes that a document is missing, or is not whole.
func (b *Bundle) Lacks(name, why string) {
	b.manifest.Missing = append(b.manifest.Missing, Lack{Name: name, Why: why})
}

// Documents are those that were added.
func (b *Bundle) Documents() []Entry { return b.manifest.Documents }

// Missing are those that were noted.
func (b *Bundle) Missing() []Lack { return b.manifest.Missing }

// Close ends the bundle and returns the SHA-256 of all that was written.
func (b *Bundle) Close() (sum string, err error) {
	manifest, err := json.MarshalIndent(b.manifest, "", "  ")
	if err != nil {
		return "", err
	}
	manifest = append(manifest, '\n')
	hashed, err := b.member(ManifestFile, bytes.NewReader(manifest), int64(len(manifest)))
	if err != nil {
		return "", err
	}
	var sums bytes.Buffer
	for _, e := range b.manifest.Documents {
		fmt.Fprintf(&sums, "%s  %s\n", e.SHA256, e.Name)
	}
	fmt.Fprintf(&sums, "%x  %s\n", hashed, ManifestFile)
	if _, err = b.member(SumsFile, &sums, int64(sums.Len())); err != nil {
		return "", err
	}
	if err = b.tar.Close(); err == nil {
		err = b.zst.Close()
	}
	return hex.EncodeToString(b.whole.Sum(nil)), err
}

// member writes one file of the archive. The name of a document is ours, and never the agent's.
func (b *Bundle) member(name string, r io.Reader, size int64) ([]byte, error) {
	if b.err == nil && !filepath.IsLocal(name) {
		b.err = fmt.Errorf("%q cannot be the name of a document", name)
	}
	if b.err != nil {
		return nil, b.err
	}
	sum := sha256.New()
	b.err = b.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(b.dir, name), Size: size, Mode: 0o600, ModTime: b.manifest.Made, Format: tar.FormatPAX})
	if b.err == nil {
		if _, err := io.CopyN(io.MultiWriter(b.tar, sum), r, size); err != nil {
			b.err = fmt.Errorf("%s: %w", name, err)
		}
	}
	return sum.Sum(nil), b.err
}
