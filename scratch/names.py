KEEP=('eagle','fox','deer','squirrel','dog','cat','owl','penguin','flamingo','robot','woman','man','saxophonist','car','snowman','panda')
OLD=('eagle','fox','deer','squirrel','dog','cat','horse','rabbit','elephant','giraffe','tiger','owl','penguin','turtle','cow','flamingo','parrot','dinosaur','robot','woman','man','saxophonist','saxophone','car','snowman','panda','butterfly')
