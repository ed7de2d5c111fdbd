# Variables that grow, and subshells.
total=0
for i in $(seq :turns); do
    line=$(sed -n "${i}p" input/lines)
    words=($line)
    total=$((total + ${#words[@]}))
    text+=$(printf '%s-%d ' "${words[0]}" "$i")
done
echo "$total ${#text}"
awk '{ for (i = 1; i <= NF; i++) count[$i]++; all = all substr($0, 1, 3) } END { for (w in count) if (count[w] > 3) n++; print n, length(all) }' input/lines
declare -A table
while read -r first rest; do table[$first]+="$rest"; done < <(head -n 5000 input/lines)
echo "${#table[@]}"
(for key in "${!table[@]}"; do echo "$key ${#table[$key]}"; done) | sort | cksum
