// Package capability takes a capability out of what runc is asked for.
package capability

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Drop edits the file with the capabilities that runc will read for these
// arguments: config.json of the bundle for `create` and `run`, the file of
// --process for `exec`. Other commands read none.
func Drop(args []string, name string) error {
	switch {
	case slices.Contains(args, "create"), slices.Contains(args, "run"):
		bundle := option(args, "--bundle", "-b")
		return edit(filepath.Join(bundle, "config.json"), func(spec map[string]any) {
			if process, ok := spec["process"].(map[string]any); ok {
				drop(process, name)
			}
		})
	case slices.Contains(args, "exec"):
		if process := option(args, "--process", "-p"); process != "" {
			return edit(process, func(process map[string]any) { drop(process, name) })
		}
	}
	return nil
}

// option returns the value of an option, as `--long VALUE`, `--long=VALUE` or
// `-s VALUE`; empty if it is not there.
func option(args []string, long, short string) string {
	for i, arg := range args {
		if value, found := strings.CutPrefix(arg, long+"="); found {
			return value
		}
		if (arg == long || arg == short) && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

func edit(path string, change func(map[string]any)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	// as written: limits do not fit a float
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	change(object)
	encoded, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, encoded, 0o600)
}

// drop removes the capability from all sets of an OCI process.
func drop(process map[string]any, name string) {
	sets, _ := process["capabilities"].(map[string]any)
	for set, value := range sets {
		if names, ok := value.([]any); ok {
			sets[set] = slices.DeleteFunc(names, func(one any) bool { return one == name })
		}
	}
}
