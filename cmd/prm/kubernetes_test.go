package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/s3test"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// podOf is the container of a manifest's indexed job.
type podOf struct {
	completions int
	args        []string
	env         map[string]string // of fixed values
	index       []string          // variables that hold the pod's index
}

func readJob(t *testing.T, name string) podOf {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "scripts", "deploy", "kubernetes", name))
	require.NoError(t, err)
	documents := strings.Split(string(text), "\n---\n")
	return podIn(t, []byte(documents[len(documents)-1]))
}

func podIn(t *testing.T, document []byte) podOf {
	t.Helper()
	var job struct {
		Spec struct {
			Completions int
			Template    struct {
				Spec struct {
					Containers []struct {
						Args []string
						Env  []struct {
							Name, Value string
							ValueFrom   struct {
								FieldRef struct {
									FieldPath string `yaml:"fieldPath"`
								} `yaml:"fieldRef"`
							} `yaml:"valueFrom"`
						}
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(document, &job))
	c := job.Spec.Template.Spec.Containers[0]
	pod := podOf{job.Spec.Completions, c.Args, map[string]string{}, []string{"JOB_COMPLETION_INDEX"}} // which the job's controller adds
	for _, e := range c.Env {
		switch e.ValueFrom.FieldRef.FieldPath {
		case "":
			pod.env[e.Name] = e.Value
		case "metadata.annotations['batch.kubernetes.io/job-completion-index']":
			pod.index = append(pod.index, e.Name)
		}
	}
	return pod
}

// arguments are those of the pod of that index, with $(NAME) expanded as the kubelet does; places say where the mounts lie here.
func (p podOf) arguments(index int, places *strings.Replacer) []string {
	var list []string
	for _, arg := range p.args {
		for _, name := range p.index {
			arg = strings.ReplaceAll(arg, "$("+name+")", strconv.Itoa(index))
		}
		for name, value := range p.env {
			arg = strings.ReplaceAll(arg, "$("+name+")", value)
		}
		list = append(list, places.Replace(arg))
	}
	return list
}

// The pods of the manifests do all shards of a run, and no two the same.
func TestKubernetesJobs(t *testing.T) {
	dir, model := trained(t)
	server := s3test.Start(t, "prm")
	var rows strings.Builder
	for i := range 20 {
		fmt.Fprintf(&rows, `{"id":"%d","problem":"p %[1]d","steps":["one","two %[1]d"]}`+"\n", i)
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "traces"), 0o777))
	write(t, filepath.Join(dir, "traces", "a.jsonl"), rows.String())
	server.Put("/prm/traces/a.jsonl", []byte(rows.String()))
	code, _, stderr := prmCommand("score", model, filepath.Join(dir, "traces"), "--out", filepath.Join(dir, "whole"))
	require.Equal(t, 0, code, stderr)
	want, err := os.ReadFile(filepath.Join(dir, "whole"))
	require.NoError(t, err)

	places := strings.NewReplacer("/models/prm", model, "s3://prm/model", model, "/data/", dir+"/")
	for name, parts := range map[string]string{
		"score.yaml": filepath.Join(dir, "scores-*.jsonl"), "score-s3.yaml": "s3://prm/scores/part-*.jsonl",
	} {
		job := readJob(t, name)
		for i := range job.completions {
			code, _, stderr := prmCommand(append([]string{"--quiet"}, job.arguments(i, places)...)...)
			require.Equal(t, 0, code, "%s %d: %s", name, i, stderr)
		}
		paths := []string{parts}
		if name == "score.yaml" {
			paths, err = filepath.Glob(parts)
			require.NoError(t, err)
		}
		merged := filepath.Join(dir, "merged-"+name)
		code, _, stderr := prmCommand(append([]string{"score", "merge", "--out", merged}, paths...)...)
		require.Equal(t, 0, code, stderr)
		got, err := os.ReadFile(merged)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), name)
	}

	label, in, config := labelFixture(t)
	job := readJob(t, "label.yaml")
	places = strings.NewReplacer("/data/label.yaml", config, "/data/traces", in, "/data/", label+"/")
	shards := []string{"label", "merge", "--out", filepath.Join(label, "merged")}
	for i := range job.completions {
		code, _, stderr := prmCommand(append([]string{"--quiet"}, job.arguments(i, places)...)...)
		require.Equal(t, 0, code, stderr)
		shards = append(shards, filepath.Join(label, fmt.Sprintf("labels-%d", i)))
	}
	code, stdout, stderr := prmCommand(shards...)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "30 trajectories")
}

// What train.yaml and docs/scale.md put into the pods' environment is all that the detection of ranks reads: with the controller's index
// each pod is the rank of that number. Rank 0's address is its pod's name under the service, which finds the pods before they are ready.
func TestKubernetesEnvironment(t *testing.T) {
	path := filepath.Join("..", "..", "scripts", "deploy", "kubernetes", "train.yaml")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	type object struct {
		Metadata struct{ Name string }
		Spec     struct {
			ClusterIP                string `yaml:"clusterIP"`
			Selector                 map[string]string
			PublishNotReadyAddresses bool `yaml:"publishNotReadyAddresses"`
			Completions, Parallelism int
			Template                 struct{ Spec struct{ Subdomain string } }
		}
	}
	var service, job object
	documents := strings.Split(string(text), "\n---\n")
	require.NoError(t, yaml.Unmarshal([]byte(documents[0]), &service))
	require.NoError(t, yaml.Unmarshal([]byte(documents[1]), &job))
	require.Equal(t, "None", service.Spec.ClusterIP)
	require.Equal(t, map[string]string{"job-name": job.Metadata.Name}, service.Spec.Selector)
	require.True(t, service.Spec.PublishNotReadyAddresses)
	require.Equal(t, service.Metadata.Name, job.Spec.Template.Spec.Subdomain)
	require.Equal(t, job.Spec.Completions, job.Spec.Parallelism, "ranks wait for each other")

	pod := readJob(t, "train.yaml")
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "scale.md"))
	require.NoError(t, err)
	_, recipe, found := strings.Cut(string(page), "the ranks need in the pod's `env`:\n\n```\n")
	require.True(t, found)
	recipe, _, _ = strings.Cut(recipe, "```")
	documented := map[string]string{}
	require.NoError(t, yaml.Unmarshal([]byte(recipe), &documented))
	require.Equal(t, documented, pod.env)
	require.Equal(t, job.Metadata.Name+"-0."+service.Metadata.Name, pod.env["MASTER_ADDR"])
	port, err := strconv.Atoi(pod.env["MASTER_PORT"])
	require.NoError(t, err)
	for i := range pod.completions {
		launch, err := dist.FromEnv(func(name string) string {
			if name == "JOB_COMPLETION_INDEX" {
				return strconv.Itoa(i)
			}
			return pod.env[name]
		})
		require.NoError(t, err)
		require.Equal(t, dist.Launch{Launcher: "Kubernetes", Rank: i, World: pod.completions, LocalRank: -1,
			Master: pod.env["MASTER_ADDR"], MasterPort: port}, launch)
	}
}

// train-jobset.yaml runs the pods of train.yaml; only rank 0's name is another, as JobSet forms it: of the set, the job, its index and the
// pod's, under the set's own service.
func TestKubernetesJobSet(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "scripts", "deploy", "kubernetes", "train-jobset.yaml"))
	require.NoError(t, err)
	var set struct {
		Metadata struct{ Name string }
		Spec     struct {
			ReplicatedJobs []struct {
				Name     string
				Replicas int
				Template struct{ Spec map[string]any }
			} `yaml:"replicatedJobs"`
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &set))
	require.Len(t, set.Spec.ReplicatedJobs, 1)
	job := set.Spec.ReplicatedJobs[0]
	require.Equal(t, 1, job.Replicas, "the index of a pod is that of its job alone")
	inner, err := yaml.Marshal(map[string]any{"spec": job.Template.Spec})
	require.NoError(t, err)
	got, want := podIn(t, inner), readJob(t, "train.yaml")
	require.Equal(t, set.Metadata.Name+"-"+job.Name+"-0-0."+set.Metadata.Name, got.env["MASTER_ADDR"])
	got.env["MASTER_ADDR"] = want.env["MASTER_ADDR"]
	require.Equal(t, want, got)
}

// The pods of train.yaml find each other by the index alone.
func TestKubernetesRanks(t *testing.T) {
	if os.Getenv("GOPRM_DEPLOY") == "" {
		t.Skip("make deploy-check runs it: GOPRM_DEPLOY is not set")
	}
	dir, _, _, config := fixture(t)
	prm := filepath.Join(dir, "prm")
	out, err := exec.Command("go", "build", "-o", prm, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(free.Addr().String())
	require.NoError(t, err)
	require.NoError(t, free.Close())
	job := readJob(t, "train.yaml")
	require.Equal(t, "train-0.train", job.env["MASTER_ADDR"])
	require.Equal(t, strconv.Itoa(job.completions), job.env["WORLD_SIZE"])
	job.env["MASTER_ADDR"], job.env["MASTER_PORT"] = "127.0.0.1", port
	var pods []*exec.Cmd
	for i := range job.completions {
		pod := exec.Command(prm, job.arguments(i, strings.NewReplacer("/data/run.yaml", config))...)
		pod.Env = append(os.Environ(), "JOB_COMPLETION_INDEX="+strconv.Itoa(i))
		for name, value := range job.env {
			pod.Env = append(pod.Env, name+"="+value)
		}
		var text strings.Builder
		pod.Stdout, pod.Stderr = &text, &text
		require.NoError(t, pod.Start())
		pods = append(pods, pod)
	}
	for i, pod := range pods {
		require.NoError(t, pod.Wait(), "rank %d: %s", i, pod.Stderr)
	}
	record, err := os.ReadFile(filepath.Join(dir, "run", "run.json"))
	require.NoError(t, err)
	require.Contains(t, string(record), `"launcher": "Kubernetes"`)
	require.Contains(t, string(record), `"world": 4`)
}
