package richtext
import ("testing";"os";"bufio";"encoding/json";"fmt";"regexp";"sort")
func TestZ(t *testing.T){
 f,_:=os.Open("/work/shared/data/trajectories/r1distill_math153.jsonl"); s:=bufio.NewScanner(f); s.Buffer(nil,1<<26)
 bad:=map[string]int{}; good:=0
 for s.Scan(){ var r map[string]any; json.Unmarshal(s.Bytes(),&r)
  for _,k:=range []string{"question","thinking","response"}{ x,_:=r[k].(string); h:=HTML(x)
   good+=len(regexp.MustCompile("<math").FindAllString(h,-1))
   for _,m:=range regexp.MustCompile(`<code class="tex" title="([^"]*)">(.*?)</code>`).FindAllStringSubmatch(h,-1){ bad[m[1]+" | "+m[2][:min(150,len(m[2]))]]++}}}
 fmt.Println(good,len(bad)); var l []string; for k:=range bad{l=append(l,k)}; sort.Strings(l); for _,k:=range l[:min(30,len(l))]{fmt.Println(k)}
}
