from common import *
from big.mini.training.train_flux import *
side,batch,threads,comp=int(ARGS[0]),int(ARGS[1]),int(ARGS[2]),int(ARGS[3])
torch.set_num_threads(threads)
s=Student()
if comp:
    for b in list(s.flux.double_blocks)+list(s.flux.single_blocks): b.compile(dynamic=False)
opt=Optimizer(s, decay=0., is_matrix=is_matrix, memory=.999, youth=50)
x=torch.randn(batch,16,side,side); ids=torch.randint(5,100,(batch,MIN_TOKENS)); ids[:,20]=END
cover=torch.rand(batch,1,side,side); st=torch.randint(0,7,(batch,))
def step():
    l,_=flow_loss(s,x,ids,cover,st); l.backward(); opt.step(1e-4)
t0=time.time()
for _ in range(2): step()
print('warm',time.time()-t0)
t=time.time(); n=0
while time.time()-t<12: step(); n+=1
print(side,batch,threads,comp,quicker_dtype(), round(batch*n/(time.time()-t),2),'img/s')
if len(ARGS)>4:
    with torch.profiler.profile() as p: step()
    print(p.key_averages().table(sort_by='self_cpu_time_total',row_limit=22,max_name_column_width=40))
