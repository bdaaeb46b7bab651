package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Small files of the images, by layer: files/LAYER/PATH. Those below a directory
// `bin` can be executed.
//
//go:embed all:files
var files embed.FS

// loadLayers makes every layer, by name, from the programs in a directory and from
// the files of this package.
func loadLayers(dir string) (map[string]v1.Layer, error) {
	layers := map[string]v1.Layer{}
	add := func(name string, open tarball.Opener) (err error) {
		// the suites wait for it, and nothing travels far
		layers[name], err = tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
			tarball.WithCompressionLevel(gzip.BestSpeed))
		return err
	}
	web := func() (io.ReadCloser, error) { return os.Open(filepath.Join(dir, "web.tar")) }
	if err := add("web", web); err != nil {
		return nil, err
	}
	programs := map[string]map[string]int64{
		"agnhost": {"agnhost": 0o755, "localhost.crt": 0o644, "localhost.key": 0o644, "usr/local/bin/nmeter": 0o755},
		"busybox": {"bin/busybox": 0o755, "bin/nmeter": 0o755},
		"nnp":     {"usr/local/bin/nnp": 0o6755},
		"pause":   {"pause": 0o755},
	}
	for _, name := range []string{"agnhost", "busybox", "copy-up", "group", "hostnet", "httpd", "nginx", "nnp", "ownership", "pause"} {
		archive := newArchive()
		for target, mode := range programs[name] {
			content, err := os.ReadFile(filepath.Join(dir, path.Base(target)))
			if err != nil {
				return nil, err
			}
			archive.file(target, mode, content)
		}
		if err := archive.embedded("files/" + name); err != nil {
			return nil, err
		}
		switch name {
		case "agnhost":
			archive.write(tar.Header{Typeflag: tar.TypeLink, Name: "agnhost-2", Linkname: "agnhost", Mode: 0o755}, nil)
			archive.directory("uploads", 0o755)
		case "busybox":
			if err := archive.applets(filepath.Join(dir, "busybox")); err != nil {
				return nil, err
			}
		case "copy-up":
			archive.file("test_dir/test_file", 0o644, []byte("test_content\n"))
			archive.file(":colon_prefixed/colon_prefixed_file", 0o644, []byte("test_content\n"))
			archive.file("C:/weird_test_dir/weird_test_file", 0o644, []byte("test_content\n"))
		case "ownership":
			archive.write(tar.Header{Typeflag: tar.TypeDir, Name: "test_dir", Mode: 0o755, Uid: 65534, Gid: 65534}, nil)
			archive.directory("dev", 0o755)
		}
		content, err := archive.close()
		if err != nil {
			return nil, err
		}
		if err := add(name, content); err != nil {
			return nil, err
		}
	}
	return layers, nil
}

// archive is a tar file in memory. Its first error is returned by close.
type archive struct {
	buffer bytes.Buffer
	writer *tar.Writer
	seen   map[string]bool
	err    error
}

func newArchive() *archive {
	a := &archive{seen: map[string]bool{}}
	a.writer = tar.NewWriter(&a.buffer)
	return a
}

func (a *archive) write(header tar.Header, content []byte) {
	if a.err != nil || a.seen[header.Name] {
		return
	}
	a.seen[header.Name] = true
	if parent := path.Dir(header.Name); parent != "." {
		a.directory(parent, 0o755)
	}
	header.Size = int64(len(content))
	if a.err = a.writer.WriteHeader(&header); a.err == nil {
		_, a.err = a.writer.Write(content)
	}
}

func (a *archive) directory(name string, mode int64) {
	a.write(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}, nil)
}

func (a *archive) file(name string, mode int64, content []byte) {
	a.write(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, content)
}

func (a *archive) embedded(root string) error {
	if _, err := fs.Stat(files, root); err != nil {
		return nil // a layer that is one program
	}
	return fs.WalkDir(files, root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(file)
		name, mode := strings.TrimPrefix(file, root+"/"), int64(0o644)
		if path.Base(path.Dir(name)) == "bin" {
			mode = 0o755
		}
		a.file(name, mode, content)
		return err
	})
}

// applets adds the directories of a small system and a hard link for each of
// busybox's applets: with symbolic links, a mount on one would cover them all.
func (a *archive) applets(busybox string) error {
	for _, name := range []string{"home", "mnt", "proc", "root", "run", "sys", "dev", "usr/bin", "usr/sbin"} {
		a.directory(name, 0o755)
	}
	a.directory("tmp", 0o1777)
	a.directory("var/tmp", 0o1777)
	list, err := exec.Command(busybox, "--list").Output()
	for applet := range strings.Lines(string(list)) {
		name := "bin/" + strings.TrimSpace(applet)
		a.write(tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: "bin/busybox", Mode: 0o755}, nil)
	}
	return err
}

func (a *archive) close() (tarball.Opener, error) {
	if a.err == nil {
		a.err = a.writer.Close()
	}
	content := a.buffer.Bytes()
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }, a.err
}
