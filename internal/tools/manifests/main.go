// Command manifests checks Kubernetes manifests against the types of the Kubernetes API: unknown and doubled fields, and values of a wrong
// type, are errors. It is a module of its own, so that users of goprm do not depend on those types.
//
//	cd internal/tools/manifests && go run . ../../../scripts/deploy/kubernetes/*.yaml
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	for _, name := range os.Args[1:] {
		text, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		for i, document := range bytes.Split(text, []byte("\n---\n")) {
			if err := check(document); err != nil {
				log.Fatalf("%s: document %d: %v", name, i+1, err)
			}
		}
		fmt.Println(name, "is sound")
	}
}

func check(document []byte) error {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return err
	}
	switch head.APIVersion + " " + head.Kind {
	case "apps/v1 Deployment":
		var d apps.Deployment
		if err := yaml.UnmarshalStrict(document, &d); err != nil {
			return err
		}
		return pod(d.Spec.Template.Spec)
	case "batch/v1 Job":
		var j batch.Job
		if err := yaml.UnmarshalStrict(document, &j); err != nil {
			return err
		}
		return indexed(j.Name, j.Spec)
	case "jobset.x-k8s.io/v1alpha2 JobSet":
		var s jobSet
		if err := yaml.UnmarshalStrict(document, &s); err != nil {
			return err
		}
		for _, j := range s.Spec.ReplicatedJobs {
			if err := indexed(j.Name, j.Template.Spec); err != nil {
				return err
			}
		}
		return nil
	case "v1 Service":
		return yaml.UnmarshalStrict(document, new(core.Service))
	}
	return fmt.Errorf("%s %s: not a kind that is checked here", head.APIVersion, head.Kind)
}

// jobSet is the part of a JobSet that is used here (https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/).
type jobSet struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		Network struct {
			EnableDNSHostnames       bool   `json:"enableDNSHostnames"`
			Subdomain                string `json:"subdomain"`
			PublishNotReadyAddresses bool   `json:"publishNotReadyAddresses"`
		} `json:"network"`
		FailurePolicy struct {
			MaxRestarts int `json:"maxRestarts"`
		} `json:"failurePolicy"`
		ReplicatedJobs []struct {
			Name     string                `json:"name"`
			Replicas int                   `json:"replicas"`
			Template batch.JobTemplateSpec `json:"template"`
		} `json:"replicatedJobs"`
	} `json:"spec"`
}

func indexed(name string, spec batch.JobSpec) error {
	if *spec.CompletionMode != batch.IndexedCompletion || *spec.Parallelism > *spec.Completions {
		return fmt.Errorf("%s: not an indexed job, or more parallel than it has completions", name)
	}
	return pod(spec.Template.Spec)
}

// pod checks what the types do not say: every mount has its volume.
func pod(spec core.PodSpec) error {
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
	}
	for _, c := range spec.Containers {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				return fmt.Errorf("%s: there is no volume %s", c.Name, m.Name)
			}
		}
	}
	return nil
}
