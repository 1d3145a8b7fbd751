# takes a state from the old tokenizer's rows to the new one's, and from six ways to three
import json
def convert(st):
    if 'converted' in st: return {k:v for k,v in st.items() if k!='converted'}
    for k in ('stand.1.weight','stand.1.bias'):
        if k in st and len(st[k])==10: st[k]=st[k][[0,2,4,6,7,8,9]].clone()
    old=json.load(open('/work/train/tokenizer_old.json'))['model']['vocab']; new=json.load(open('/work/wt/grown/mini/tokenizer/tokenizer.json'))['model']['vocab']
    k='text.t5xxl.transformer.shared.weight'; w=st[k].clone(); r=w.clone()
    for word,i in new.items(): r[i]=w[old[word]]
    st[k]=r; return st
