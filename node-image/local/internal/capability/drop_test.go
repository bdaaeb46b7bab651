package capability

import (
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func expect(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("got %s, %v, not %s", got, err, want)
	}
}

func TestBundleLosesTheCapabilityAndNothingElse(t *testing.T) {
	before := `{"linux":{"x":18446744073709551615},"process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"],"effective":["CAP_SYS_RESOURCE"]}}}`
	after := `{"linux":{"x":18446744073709551615},"process":{"capabilities":{"bounding":["CAP_CHOWN"],"effective":[]}}}`
	for _, form := range [][]string{{"--bundle", "%"}, {"-b", "%"}, {"--bundle=%"}} {
		path := write(t, "config.json", before)
		args := []string{"--root", "/run/x", "create"}
		for _, word := range form {
			args = append(args, replace(word, filepath.Dir(path)))
		}
		if err := Drop(append(args, "id"), "CAP_SYS_RESOURCE"); err != nil {
			t.Fatal(err)
		}
		expect(t, path, after)
	}
}

func replace(word, value string) string {
	if word == "%" {
		return value
	}
	if word[len(word)-1] == '%' {
		return word[:len(word)-1] + value
	}
	return word
}

func TestExecLosesTheCapability(t *testing.T) {
	path := write(t, "process.json", `{"args":["sh"],"capabilities":{"bounding":["CAP_SYS_RESOURCE","CAP_KILL"]}}`)
	if err := Drop([]string{"exec", "--process", path, "id"}, "CAP_SYS_RESOURCE"); err != nil {
		t.Fatal(err)
	}
	expect(t, path, `{"args":["sh"],"capabilities":{"bounding":["CAP_KILL"]}}`)
}

func TestOtherCommandsAndBareProcessesAreLeftAlone(t *testing.T) {
	for _, args := range [][]string{{"delete", "id"}, {"state", "id"}, {"exec", "id", "sh"}} {
		if err := Drop(args, "CAP_SYS_RESOURCE"); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	path := write(t, "config.json", `{"process":{"args":["sh"]}}`)
	if err := Drop([]string{"run", "-b", filepath.Dir(path), "id"}, "CAP_SYS_RESOURCE"); err != nil {
		t.Fatal(err)
	}
	expect(t, path, `{"process":{"args":["sh"]}}`)
}

func TestUnreadableBundleIsAnError(t *testing.T) {
	path := write(t, "config.json", "{")
	if err := Drop([]string{"create", "-b", filepath.Dir(path), "id"}, "CAP_SYS_RESOURCE"); err == nil {
		t.Error("accepted")
	}
}
